package lab

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vectorsFile is a list of cases of two nodes that meet; its head explains the
// form. The model of DRBD is held to it, and here the driver itself.
const vectorsFile = "../../drbd/model/testdata/vectors-84.txt"

// allVectors names the environment variable that asks for all of them: that
// takes minutes on a busy machine.
const allVectors = "SBARBITER_ALL_VECTORS"

// A vector is a case that says how the nodes end. It is number Minor.
type vector struct {
	name    string
	always  bool // also where not all are asked for
	minor   int
	options map[string]string // as A's configuration spells them
	sides   [2]vectorSide
}

// vectorSide is one node of it.
type vectorSide struct {
	start   map[string]string
	verdict map[string]string // "=>": of the handshake
	end     string            // "ends": of it all
}

func (s vectorSide) is(fact, value string) bool { return s.start[fact] == value }

// readVectors returns the cases that are to be carried out.
func readVectors(t *testing.T) []vector {
	t.Helper()
	all := os.Getenv(allVectors) != ""
	list := slices.DeleteFunc(possibleVectors(t), func(v vector) bool { return !v.always && !all })
	for i := range list {
		list[i].minor = 100 + i
	}
	return list
}

// possibleVectors returns all that two real nodes can carry out.
func possibleVectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile(vectorsFile)
	must(t, err)
	var list []vector
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, " "):
			list = append(list, vector{name: words[0], always: len(words) > 1 && words[1] == "lab"})
		default:
			list[len(list)-1].read(t, words)
		}
	}
	return slices.DeleteFunc(list, func(v vector) bool { return v.sides[0].end == "" })
}

// Those that are always carried out have, between them, every rule, verdict, handler
// and state at the end that any has.
func TestTheVectorsOfEveryRunHaveAllThatAnyHas(t *testing.T) {
	missing := map[string]string{}
	all := possibleVectors(t)
	for _, v := range all {
		for _, fact := range v.facts() {
			missing[fact] = v.name
		}
	}
	for _, v := range all {
		for _, fact := range v.facts() {
			if v.always {
				delete(missing, fact)
			}
		}
	}
	for fact, name := range missing {
		t.Errorf("only a vector that is not always carried out has it, as %s: %s", name, fact)
	}
}

// facts are what a vector shows on either side.
func (v vector) facts() []string {
	var facts []string
	for _, s := range v.sides {
		end := settings(strings.Fields(s.end))
		role, _, _ := strings.Cut(end["ro"], "/")
		facts = append(facts,
			"rule "+s.verdict["rule"]+" "+s.verdict["compare"],
			"verdict "+s.verdict["strategy"]+" "+s.verdict["end"],
			"handlers "+s.verdict["calls"],
			strings.Join([]string{"end", end["cs"], role, end["ds"]}, " "),
			"flags "+end["flags"],
		)
	}
	return facts
}

func (v *vector) read(t *testing.T, words []string) {
	t.Helper()
	if words[0] == "with" {
		v.options = settings(words[1:])
		return
	}
	side := &v.sides[map[string]int{"A": 0, "B": 1}[words[0]]]
	switch words[1] {
	case "=>":
		side.verdict = settings(words[2:])
	case "ends":
		side.end = strings.Join(words[2:], " ")
	default:
		side.start = settings(words[1:])
	}
}

func settings(words []string) map[string]string {
	m := map[string]string{}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		m[key] = value
	}
	return m
}

// connectOptions are the options of the connection as this node has to spell
// them: what is local to one is remote to the other.
func (v vector) connectOptions(i int) string {
	// A busy machine must not look like a lost peer; but an attempt to connect that
	// went wrong is held up for four times ping-timeout.
	options := []string{"--protocol=C", "--connect-int=1", "--ping-int=60", "--ping-timeout=30", "--timeout=300"}
	for key, value := range v.options {
		switch {
		case key == "tentative" && i == 1: // A asks what would be
		case i == 1 && value == "discard-local":
			options = append(options, "--"+key+"=discard-remote")
		case i == 1 && value == "discard-remote":
			options = append(options, "--"+key+"=discard-local")
		default:
			options = append(options, "--"+key+"="+value)
		}
	}
	if v.sides[i].is("discard-my-data", "yes") {
		options = append(options, "--discard-my-data=yes")
	}
	slices.Sort(options)
	return strings.Join(options, " ")
}

// metadata is what drbdmeta restores: generations, flags, and a bitmap that
// begins with the blocks that differ.
func (s vectorSide) metadata(t *testing.T) string {
	t.Helper()
	var ids [4]uint64
	for i, w := range strings.Split(s.start["gi"], ":") {
		u, err := strconv.ParseUint(w, 16, 64)
		must(t, err)
		ids[i] = u
	}
	ids[0] &^= 1 // the mark of a Primary is the driver's to set
	blocks, err := strconv.Atoi(cmp.Or(s.start["oos"], "0"))
	must(t, err)
	var b strings.Builder
	fmt.Fprintf(&b, "version \"v08\";\nuuid { 0x%016X; 0x%016X; 0x%016X; 0x%016X; flags 0x%08X; }\n", ids[0], ids[1], ids[2], ids[3], s.metadataFlags())
	fmt.Fprintf(&b, "la-size-sect %d;\nbm-byte-per-bit 4096;\ndevice-uuid 0x1AF947EC7141943F;\nla-peer-max-bio-size 0;\n", copyBlocks*8)
	fmt.Fprintf(&b, "al-stripes 1;\nal-stripe-size-4k 8;\nbm {\n%s}\n", bitmapDump(blocks))
	return b.String()
}

func (s vectorSide) metadataFlags() int {
	const consistent, upToDate, crashed, logClean = 0x01, 0x10, 0x40, 0x80
	flags := logClean
	switch s.start["disk"] {
	case "Inconsistent":
	case "Outdated":
		flags |= consistent
	default:
		flags |= consistent | upToDate
	}
	if s.is("crashed-primary", "yes") {
		flags |= crashed
	}
	return flags
}

// bitmapDump has the first blocks set, in words of 64.
func bitmapDump(blocks int) string {
	words := (copyBlocks + 63) / 64
	whole, rest := blocks/64, blocks%64
	dump := ""
	if whole > 0 {
		dump += fmt.Sprintf("%d times 0xFFFFFFFFFFFFFFFF;\n", whole)
	}
	if rest > 0 {
		dump += fmt.Sprintf("0x%016X;\n", uint64(1)<<rest-1)
		whole++
	}
	return dump + fmt.Sprintf("%d times 0x0000000000000000;\n", words-whole)
}
