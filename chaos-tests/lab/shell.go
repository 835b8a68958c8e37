package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// remote runs its words on a node as ssh would, over the network that no fault
// touches: with its input, what they print, without their errors, and their exit status.
const remote = `case $1 in %[1]s) at=%[2]s ;; %[3]s) at=%[4]s ;; *) exit 255 ;; esac
shift
out=$(mktemp) && trap 'rm -f "$out"' EXIT
printf '%%s\n' "{ echo $(base64 -w 0) | base64 -d | ( $* ); } 2>/dev/null; printf '\\n%%d\\n' \$?; exit" |
	ip netns exec %[5]s socat -t 600 - TCP:$at:2222 >"$out"
head -n -1 "$out"
exit "$(tail -n 1 "$out")"
`

// Shell is a command on this host that runs the words after it on a node, whose name
// stands for {node}; as sbctl wants it.
func (l *Lab) Shell() ([]string, error) {
	path := filepath.Join(l.dir, "shell")
	text := fmt.Sprintf(remote, NodeA, NodeA.controlAddr(), NodeB, NodeB.controlAddr(), l.net.sw)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("make a shell to the nodes: %w", err)
	}
	return []string{"bash", path, "{node}"}, nil
}
