# make help lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

tool := go tool -modfile=internal/tools/go.mod
daemons := sbwitness sbagent sbctl

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## static binaries into bin/
	@mkdir -p bin
	@for d in $(addprefix cmd/,$(daemons)) chaos-tests/lab/writer; do \
		[ -d $$d ] || continue; \
		name=$$(basename $$d); [ $$name != writer ] || name=lab-writer; \
		CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/$$name ./$$d; \
		echo "bin/$$name"; \
	done

.PHONY: test
test: ## everything that CI checks; prints what was skipped and why
	@.ci/test.sh

.PHONY: test-fast
test-fast: ## the tests without lab and race detector
	@go test -short -json $$(go list ./... | grep -v /chaos-tests) 2>&1 | go run ./internal/testreport

.PHONY: lint
lint: ## form, vet, golangci-lint, generated code
	@.ci/test.sh lint

.PHONY: fmt
fmt: ## format the code
	@git ls-files -co --exclude-standard '*.go' | grep -v '\.pb\.go$$' | xargs -r $$($(tool) -n gofumpt) -w

# Where the generated code goes, relative to proto/ or absolute.
GENERATE_TO := .

.PHONY: generate
generate: ## Go code from proto/, with buf
	@cd proto && go tool -modfile=../internal/tools/go.mod buf lint
	@cd proto && go tool -modfile=../internal/tools/go.mod buf generate -o $(GENERATE_TO)

.PHONY: demo
demo: ## a power cut and a takeover, watched; DEMO_INSTALL=0 installs nothing
	@[ "$${DEMO_INSTALL:-1}" = 0 ] || sh .ci/packages.sh
	@$(MAKE) --no-print-directory build
	@go run ./chaos-tests/demo -bin bin

.PHONY: lab
lab: build ## a real pair with sbarbiter to play with; Ctrl-C ends it
	@mkdir -p build
	@go build -o build/lab ./chaos-tests/lab/cmd/lab # go run would call Ctrl-C an error
	@build/lab -bin bin

.PHONY: bench
bench: ## benchmarks of the parts
	@go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -v /chaos-tests) | grep -E '^(Benchmark|pkg:|FAIL|panic)'

.PHONY: bench-lab
bench-lab: build ## figures of the whole, in the lab: RESULT lines, medians of 5
	@go run ./chaos-tests/bench -bin bin

.PHONY: bench-fencing
bench-fencing: build ## silent agents, slow and dead controllers, in the lab: RESULT lines, medians of 5
	@go run ./chaos-tests/bench -bin bin -fencing

.PHONY: bench-recovery
bench-recovery: build ## the way back from a split brain, in the lab: RESULT lines, medians of 5
	@go run ./chaos-tests/bench -bin bin -recovery

.PHONY: scenarios-all
scenarios-all: build ## every story of a pair in the lab, also those that take CI too long
	@SBARBITER_ALL_SCENARIOS=1 LAB_BIN=$(CURDIR)/bin go test -count=1 -timeout 60m -v ./chaos-tests/scenarios

FORKS := 1

.PHONY: forks
forks: build ## real split brains in the lab, of every kind, and the way back from each; FORKS=thin,zero,full for some
	@SBARBITER_ALL_FORKS=$(FORKS) LAB_BIN=$(CURDIR)/bin go test -count=1 -timeout 60m -p 1 -run ForksOf -v ./chaos-tests/lab ./chaos-tests/scenarios

# The nodes of lab, forks and scenarios run with DRBD 9 where SBARBITER_LAB_KERNEL names LAB9.
DRBD_SOURCE := build/drbd
DRBD_HEADERS := build/drbd-headers
LAB9 := $(CURDIR)/build/lab9

.PHONY: lab9-kernel
lab9-kernel: ## a kernel with DRBD 9 for the lab, from clones of LINBIT's drbd and drbd-headers: DRBD_SOURCE=.. DRBD_HEADERS=..
	@nice -n 10 chaos-tests/lab/drbd9/build.sh $(DRBD_SOURCE) $(DRBD_HEADERS) $(LAB9)

.PHONY: bubble
bubble: ## a day of renewals in fake time: real witness, real agents
	@go test -count=1 -timeout 60m -run 'ADayOfRenewals' -v ./internal/bubble -fake 24h | grep -vE '^ *time='

.PHONY: linear
linear: ## linearizability, 50 histories of each kind; pictures of failures in build/linearizability
	@go test -count=1 -timeout 60m -run 'ClientsSeeOneWitness|BrokenWitness' -v ./internal/linear -rounds 50 -lasts 40s | grep -vE '^=== '

SIM_FOR := 2m
SIM_WORKERS := 2
HOURS := 20000

.PHONY: sim
sim: ## two minutes of simulated pairs and trouble; its hours_per_core_s count CPU time; SIM_FOR=40s SIM_WORKERS=1
	@mkdir -p build
	@go build -o build/sim-search ./internal/sim/cmd/sim
	@build/sim-search -for $(SIM_FOR) -workers $(SIM_WORKERS)

.PHONY: sim-long
sim-long: ## the same for HOURS=20000 simulated hours, of seeds from FROM=1 on
	@mkdir -p build
	@go build -o build/sim-search ./internal/sim/cmd/sim
	@build/sim-search -hours $(HOURS) -workers $(SIM_WORKERS) -from $(or $(FROM),1)

# MUTANT_FOR is how long each weakening is hunted, in time of one core; ONLY=a,b
# hunts these alone.
MUTANT_FOR := 60s

.PHONY: mutants
mutants: ## weaken every rule, one at a time, and see that it is noticed; ONLY=a,b MUTANT_FOR=60s
	@mkdir -p build
	@go build -tags mutants -o build/hunt ./internal/mutant/hunt
	@build/hunt -for $(MUTANT_FOR) -only '$(ONLY)'

.PHONY: mutants-record
mutants-record: ## the same, and keep the schedules that CI replays
	@mkdir -p build
	@go build -tags mutants -o build/hunt ./internal/mutant/hunt
	@build/hunt -for $(MUTANT_FOR) -only '$(ONLY)' -record

.PHONY: verify-model
verify-model: ## every state of the protocol's model, and its weakenings, with spin
	@go test -tags mutants -count=1 -run WhatSpinFinds ./internal/sim
	@model/check.sh
