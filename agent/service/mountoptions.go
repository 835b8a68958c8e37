package service

import (
	"strings"

	"golang.org/x/sys/unix"
)

// mountFlag is what one word of an option list does to the flags of mount(2).
type mountFlag struct {
	set, clear uintptr
}

// mountFlags are the words that mount(2) takes as flags; all others go to the
// file system as text (mount(8), "filesystem-independent mount options").
var mountFlags = map[string]mountFlag{
	"ro": {set: unix.MS_RDONLY}, "rw": {clear: unix.MS_RDONLY},
	"nosuid": {set: unix.MS_NOSUID}, "suid": {clear: unix.MS_NOSUID},
	"nodev": {set: unix.MS_NODEV}, "dev": {clear: unix.MS_NODEV},
	"noexec": {set: unix.MS_NOEXEC}, "exec": {clear: unix.MS_NOEXEC},
	"sync": {set: unix.MS_SYNCHRONOUS}, "async": {clear: unix.MS_SYNCHRONOUS},
	"dirsync": {set: unix.MS_DIRSYNC},
	"noatime": {set: unix.MS_NOATIME}, "atime": {clear: unix.MS_NOATIME},
	"nodiratime": {set: unix.MS_NODIRATIME}, "diratime": {clear: unix.MS_NODIRATIME},
	"relatime": {set: unix.MS_RELATIME}, "norelatime": {clear: unix.MS_RELATIME},
	"strictatime": {set: unix.MS_STRICTATIME}, "nostrictatime": {clear: unix.MS_STRICTATIME},
	"lazytime": {set: unix.MS_LAZYTIME}, "nolazytime": {clear: unix.MS_LAZYTIME},
	"silent": {set: unix.MS_SILENT}, "loud": {clear: unix.MS_SILENT},
	"nosymfollow": {set: unix.MS_NOSYMFOLLOW},
	"defaults":    {clear: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_SYNCHRONOUS},
	// Words for mount(8) and fstab alone; the kernel does not know them.
	"auto": {}, "noauto": {}, "nofail": {}, "_netdev": {}, "user": {}, "nouser": {}, "users": {}, "owner": {}, "group": {},
}

// mountArguments splits an option list into the flags and the data of mount(2).
func mountArguments(options string) (flags uintptr, data string) {
	var rest []string
	for word := range strings.SplitSeq(options, ",") {
		word = strings.TrimSpace(word)
		if f, ok := mountFlags[word]; ok {
			flags = flags&^f.clear | f.set
		} else if word != "" && !strings.HasPrefix(word, "x-") && !strings.HasPrefix(word, "comment=") {
			rest = append(rest, word)
		}
	}
	return flags, strings.Join(rest, ",")
}
