#!/bin/bash
# Checks the model with spin: every instance of checks.txt without an error, every weakening of weak.txt noticed.
#
#   check.sh            all of it
#   check.sh NAME ...   the lines of these names only
#
# Work goes to $RUN (default: a directory under /tmp, kept, so that stories can be read); MEM: MiB per check.
set -u
cd "$(dirname "$0")" || exit 2
here=$PWD
run=${RUN:-/tmp/sbarbiter-model-$(id -u)}
mem=${MEM:-6000}
for need in spin gcc; do
	command -v "$need" >/dev/null && continue
	echo "verify-model needs $need, which is not installed; on Debian: apt-get install $need" >&2
	exit 2
done

states=0 errors=0

# search DIR KIND FLAGS: builds and runs one verifier; its words go to DIR/pan.out
search() {
	local dir=$1 kind=$2 opts pan
	shift 2
	rm -rf "$dir" && mkdir -p "$dir" && cp "$here"/*.pml "$dir" && cd "$dir" || exit 2
	case $kind in
	all) opts="-DSAFETY" pan="-E -m400000" ;;
	stuck) opts="" pan="-m400000" ;;
	short) opts="-DSAFETY -DBFS" pan="-E" ;;
	*) opts="" pan="-a -m400000 -N $kind" ;;
	esac
	if ! spin -a "$@" arbiter.pml >spin.out 2>&1; then
		cat spin.out >&2
		exit 2
	fi
	nice -n 19 gcc -O1 -w -DNOREDUCE -DNOFAIR -DMEMLIM="$mem" $opts -o pan pan.c || exit 2
	local from
	from=$(date +%s%N)
	nice -n 19 ./pan $pan >pan.out 2>&1
	seconds=$(( ($(date +%s%N) - from) / 10000000 ))
	seconds=$((seconds / 100)).$(printf %02d $((seconds % 100)))
	cd "$here" || exit 2
}

of() { grep -oE "$1" "$2/pan.out" | grep -oE '[0-9][0-9.e+]*' | head -1; }
plain() { printf '%.0f' "${1:-0}"; }

# verdict DIR: "none" where the search was complete and found nothing, what it found, or "unfinished"
verdict() {
	if grep -qE 'out of memory|max search depth too small|aborting' "$1/pan.out" && ! [ -f "$1/arbiter.pml.trail" ]; then
		echo unfinished
	elif grep -q 'errors: 0' "$1/pan.out"; then
		echo none
	else
		grep -oE 'assertion violated.*|acceptance cycle|invalid end state' "$1/pan.out" | head -1
	fi
}

# story DIR KIND: the counter-example as a schedule
story() {
	(cd "$1" && ./pan -r $([ "$2" = short ] || echo "-N $2") arbiter.pml.trail 2>/dev/null |
		grep -E '^([ABW]|the|both|DRBD|an operator|  - tick|<<<)|violated' >story.txt)
}

prove() {
	local kind=$1 name=$2 dir=$run/$2 found
	shift 2
	search "$dir" "$kind" "$@"
	found=$(verdict "$dir")
	[ "$found" = none ] || errors=$((errors + 1))
	states=$((states + $(plain "$(of '[0-9.e+]+ states, stored' "$dir")")))
	printf '%-16s %-8s states=%-9s depth=%-5s %7ss %5s MiB  errors: %s\n' "$name" "$kind" \
		"$(plain "$(of '[0-9.e+]+ states, stored' "$dir")")" "$(of 'depth reached [0-9]+' "$dir")" "$seconds" \
		"$(plain "$(of '[0-9.]+.total actual memory usage' "$dir")")" "$found"
	[ "$found" = none ] || { [ "$kind" = all ] && kind=short; story "$dir" "$kind"; }
	rm -f "$dir"/pan "$dir"/pan.?
}

# A weakening is searched breadth first (the first schedule found is a shortest), or for a cycle.
notice() {
	local name=$1 breaks=$2 kind=short dir=$run/$1 found
	shift 2
	[ "$breaks" = L1 ] && kind=l1
	search "$dir" "$kind" "-D$name" -DT=1 -DF=2 -DMAXE=4 "$@"
	found=$(verdict "$dir")
	case $found in
	none | unfinished) errors=$((errors + 1)) found="NOT NOTICED ($found)" ;;
	*) story "$dir" "$kind"; found="noticed in $(wc -l <"$dir/story.txt") steps" ;;
	esac
	printf '%-16s %-8s states=%-9s %7ss  %s\n' "$name" "$breaks" "$(plain "$(of '[0-9.e+]+ states, stored' "$dir")")" "$seconds" "$found"
	rm -f "$dir"/pan "$dir"/pan.?
}

wanted() { [ $# -eq 1 ] || [[ " ${*:2} " == *" $1 "* ]]; }

while read -r kind name flags; do
	case $kind in '' | '#') continue ;; esac
	wanted "$name" "$@" && prove "$kind" "$name" $flags
done <checks.txt
while read -r name breaks flags; do
	case $name in '' | '#') continue ;; esac
	wanted "$name" "$@" && notice "$name" "$breaks" $flags
done <weak.txt
echo "schedules are in $run/NAME/story.txt"
echo "RESULT {\"states\":$states,\"errors\":$errors}"
[ "$errors" -eq 0 ]
