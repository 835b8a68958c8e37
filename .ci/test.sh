#!/bin/bash
# Everything that is checked, in this order: form, lint, generated code, tests,
# lab ("test.sh lint" leaves the tests out). It installs nothing. All checks run even where an earlier one has failed;
# the last lines are the tests' count.
set -uo pipefail
cd "$(dirname "$0")/.."

tool() { go tool -modfile=internal/tools/go.mod "$@"; }

failed=
check() { # check NAME COMMAND...: runs it, notes a failure, prints the time
	local name=$1 began=$SECONDS
	shift
	echo "== $name"
	"$@" || {
		echo "== $name: FAILED"
		failed="$failed $name"
	}
	echo "== $name: $((SECONDS - began)) s"
}

# xargs needs a program.
tool_gofumpt=$(tool -n gofumpt) || exit
formatted() {
	local wrong
	wrong=$(git ls-files -co --exclude-standard '*.go' | grep -v '\.pb\.go$' | xargs -r "$tool_gofumpt" -l) || return
	[ -z "$wrong" ] && return
	echo "not formatted (run 'make fmt'):"
	echo "$wrong"
	return 1
}

generated() { # the checked-in code is what the .proto files say
	local fresh
	fresh=$(mktemp -d) || return
	make --no-print-directory generate GENERATE_TO="$fresh" || return
	local name same=0
	while read -r name; do
		diff -u "proto/$name" "$fresh/$name" | head -40
		cmp -s "proto/$name" "$fresh/$name" || same=1
	done < <({ cd proto && find . -name '*.pb.go'; cd "$fresh" && find . -name '*.pb.go'; } | sort -u)
	rm -rf "$fresh"
	[ "$same" = 0 ] || echo "generated code is stale: run 'make generate' and commit the result"
	return "$same"
}

check format formatted
check vet go vet ./...
check lint tool golangci-lint run ./...
check generated generated
if [ "${1:-all}" = all ]; then
	check build make --no-print-directory build
	# So many hours of the same seeds on every machine: what deeper searches find is
	# a finding, not an accident of CI's.
	check sim make --no-print-directory sim-long HOURS=1000 SIM_WORKERS=1
	echo "== tests"
	inner=$(go list ./... | grep -v '/chaos-tests') || exit
	# The lab measures times: it runs alone, after the rest.
	{
		go test -race -json -timeout 15m $inner
		go test -json -timeout 10m -tags mutants ./internal/mutant/hunt
		go test -race -json -timeout 60m -p 1 ./chaos-tests/...
	} 2>&1 | go run ./internal/testreport -no-skips sbarbiter/chaos-tests || failed="$failed tests"
fi
[ -z "$failed" ] || {
	echo "FAILED:$failed"
	exit 1
}
