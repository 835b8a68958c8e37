// Package deploy holds the files that are installed on the three hosts, so that
// the lab runs exactly these.
package deploy

import "embed"

// Files are the systemd units, the examples of an NFS-like pair and the DRBD
// section, as they stand in this folder.
//
//go:embed systemd examples drbd
var Files embed.FS
