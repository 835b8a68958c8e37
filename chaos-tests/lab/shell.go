package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// remote runs its words on a node as ssh would, over the network that no fault
// touches: with its input, what they print, their errors (at the end), and their exit
// status; 255 is that of a node that does not answer.
const remote = `case $1 in %[1]s) at=%[2]s ;; %[3]s) at=%[4]s ;; *) exit 255 ;; esac
node=$1
shift
out=$(mktemp) && trap 'rm -f "$out"' EXIT
printf '%%s\n' "e=\$(mktemp); { echo $(base64 -w 0) | base64 -d | ( $* ); } 2>\"\$e\"; c=\$?; printf '\n%%s\n%%d\n' \"\$(base64 -w 0 \"\$e\")\" \$c; rm \"\$e\"; exit" |
	ip netns exec %[5]s socat -t 600 - TCP:$at:2222,connect-timeout=5 >"$out" 2>/dev/null
code=$(tail -n 1 "$out")
case $code in '' | *[!0-9]*) echo "$node does not answer: is it on?" >&2; exit 255 ;; esac
head -n -2 "$out"
tail -n 2 "$out" | head -n 1 | base64 -d >&2
exit "$code"
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
