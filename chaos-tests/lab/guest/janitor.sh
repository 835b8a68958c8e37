#!/bin/sh
# Removes everything of one lab: processes in its namespaces, the namespaces,
# its directory. Waits for the lab first: stdin is a pipe that the lab alone
# holds open, so it ends however the lab ends.
# Called as: janitor.sh DIR NAMESPACE-PREFIX LAB-PID
trap '' INT TERM HUP
cat >/dev/null
names() { ip netns list | cut -d' ' -f1 | grep "^$2-"; }
for ns in $(names "$@"); do
	for pid in $(ip netns pids "$ns" | grep -vx "$3"); do kill -9 "$pid"; done
done 2>/dev/null
for ns in $(names "$@"); do ip netns del "$ns"; done
rm -rf "$1"
