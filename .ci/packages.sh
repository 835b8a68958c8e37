#!/bin/sh
# Installs the Debian packages that tests and lab need and this machine lacks.
# It says what it does before it does it.
set -eu

# What gives the programs: the lab (User-Mode Linux nodes, DRBD, BMCs), tests
# with real file systems, network namespaces, IPMI and fence agents (8 MB to
# fetch, with Python libraries for agents that are not used), and make itself.
wanted='user-mode-linux uml-utilities drbd-utils busybox-static openipmi ipmitool fence-agents socat
	iproute2 e2fsprogs xfsprogs btrfs-progs lvm2 kmod cpio mount util-linux systemd make git ca-certificates'

lacking=
for p in $wanted; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) || state=
	[ "$state" = installed ] || lacking="$lacking $p"
done
[ -n "$lacking" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "packages are missing and only root can install them: apt-get install --no-install-recommends$lacking" >&2
	exit 1
fi
echo "installing from Debian:$lacking"
try=1
until apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $lacking; do
	[ "$try" -lt 3 ] || {
		echo "apt-get has failed three times; its last words are above" >&2
		exit 1
	}
	echo "apt-get failed; trying again in $((try * 10)) s" >&2
	sleep $((try * 10))
	try=$((try + 1))
done
