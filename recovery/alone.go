package recovery

import (
	"fmt"
	"strings"

	"sbarbiter/drbd"
)

// Alone says what one side tells of itself where the other cannot be asked: how far it
// went on alone. Whether the other one did too, it cannot know.
func (s Side) Alone() string {
	var words []string
	for _, v := range s.Volumes {
		words = append(words, v.alone())
	}
	return fmt.Sprintf("What %s alone tells: %s. Whether the other side has changed anything too is not known.", s.Node, strings.Join(words, "; "))
}

func (v Volume) alone() string {
	g, err := drbd.ParseGI(v.Generations)
	switch {
	case err != nil || v.Generations == "":
		return fmt.Sprintf("%s is %s, and its generation is not known", v.Name(), v.Disk)
	case g.Bitmap == 0:
		return fmt.Sprintf("%s is %s, and has begun no generation of its own since the two were in step", v.Name(), v.Disk)
	case v.OutOfSync == nil:
		return fmt.Sprintf("%s is %s, and went on alone; how much it has changed was not counted", v.Name(), v.Disk)
	}
	return fmt.Sprintf("%s is %s, and went on alone: it has changed up to %s since", v.Name(), v.Disk, Bytes(*v.OutOfSync))
}
