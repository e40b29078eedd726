# Conciliar. `make` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
BIN := bin/conciliar
PREFIX ?= $(HOME)/.local
# Of an archive of the source, git has written it into .version: a tag, or only a commit.
# Where both are missing the binary says what Go recorded of its source.
VERSION ?= $(firstword $(shell git describe --tags --always --dirty 2>/dev/null || grep -v Format .version))

# Pinned: a newer linter must not break an old commit.
GOLANGCI := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
# What a release is packed with. Newer ones of the first need modules that the proxy
# doesn't give to everybody.
NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
CYCLONEDX := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# How the program is built. The tests are built alike, so that each package is compiled
# once for a test and for the program that the test starts.
TAGS := nomsgpack
AS_BUILT := -trimpath -tags $(TAGS)
# How make test builds and runs all it needs: tests, the program under test, and what tests
# build from a page. One set of flags, so that nothing is compiled twice; without what a
# debugger needs, which is a fifth of the time of compiling. The garbage of compilers and
# tests is collected less often; the program under test decides that itself.
TESTED := CGO_ENABLED=1 GOGC=400 GOFLAGS="$$($(GO) env GOFLAGS) -trimpath -tags=$(TAGS) -race -gcflags=all=-dwarf=false -ldflags=-s"
# Runs a command with one throw-away PostgreSQL for all packages.
WITH_POSTGRES := CGO_ENABLED=0 $(GO) run $(AS_BUILT) ./store/storetest/server

# PKG narrows test, bench and cover: make test PKG=./store/... The longest come first, so
# that they don't run alone at the end.
PKG ?= ./cmd/conciliar/e2e ./jobs ./...
TEST_FLAGS ?=
# Most tests of the program wait for a process or for PostgreSQL, and so do the small
# packages at the end: three at a time keep two cores busy. vet is a part of lint, and the
# race detector would sleep for a second at the end of each package.
PARALLEL ?= 4
PACKAGES ?= 3
FUZZTIME ?= 10s
# chaos: LONG=1 for the long form, WRITE=1 to write its table.
LONG ?=
WRITE ?=
# screenshots: ALL=DIR for every page.
ALL ?=
CHAOS_BUDGET ?= 30m
CHAOS_TIMEOUT ?= $(if $(LONG),3h,15m)
BENCH ?= .
BENCH_FLAGS ?=

.PHONY: help
help: ## list the targets
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1: \2/p' $(MAKEFILE_LIST)

.PHONY: run
run: build ## start everything on this machine, with nothing set up (Ctrl-C stops it)
	@exec $(BIN) dev $(ARGS)

.PHONY: build
build: ## build one static binary, bin/conciliar
	CGO_ENABLED=0 $(GO) build $(AS_BUILT) -ldflags '-s -w -X main.linkedVersion=$(VERSION)' -o $(BIN) ./cmd/conciliar

.PHONY: image
image: build ## build the container image without a container engine, and run the binary in it
	.ci/image

# The tools of a release, and what .ci/release reads.
RELEASING = export GO='$(GO)' TAGS='$(TAGS)' TOOLS='$(CURDIR)/bin/tools' && \
	for tool in $(NFPM) $(CYCLONEDX); do GOBIN=$$TOOLS CGO_ENABLED=0 $(GO) install -trimpath $$tool; done

.PHONY: release
release: ## make archives, packages, checksums and the SBOM of a release in dist/
	rm -rf dist && mkdir dist
	$(RELEASING) && .ci/release dist

.PHONY: release-check
release-check: ## make a release twice, compare the two, install its packages in a folder and start the unit's commands
	@.ci/prepare
	$(RELEASING) && $(WITH_POSTGRES) .ci/release-check

.PHONY: kubernetes
kubernetes: ## render deploy/kubernetes as kustomize does and hold it against Kubernetes' own types
	cd .ci/kubernetes && $(GO) test -trimpath -count 1 .

.PHONY: install
install: build ## install the binary as $(PREFIX)/bin/conciliar (PREFIX is ~/.local)
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/conciliar'

.PHONY: test
test: ## run every test against a real PostgreSQL, with the race detector, also in the program under test; loads are small
	@.ci/prepare
	$(TESTED) GORACE=atexit_sleep_ms=0 $(GO) run ./store/storetest/server \
		$(GO) test -vet off -short -p $(PACKAGES) -parallel $(PARALLEL) -timeout 30m $(TEST_FLAGS) $(PKG)

.PHONY: load
load: ## run the tests of the load at their full size, one at a time, without the race detector
	@.ci/prepare
	$(WITH_POSTGRES) $(GO) test $(AS_BUILT) -p 1 -parallel 1 -timeout 30m -run '^TestLoad_' $(TEST_FLAGS) ./cmd/conciliar/e2e ./jobs

.PHONY: cover
cover: ## run every test and say how much of the code they run
	@.ci/prepare
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		CONCILIAR_TEST_COVERAGE=$$dir $(WITH_POSTGRES) $(GO) test $(AS_BUILT) -short -timeout 15m -coverpkg=./... -coverprofile=coverage.out $(TEST_FLAGS) $(PKG) && \
		$(GO) tool covdata textfmt -i="$$dir" -o="$$dir/program.out" && tail -n +2 "$$dir/program.out" >>coverage.out
	@$(GO) tool cover -func=coverage.out | tail -1
	@echo "line by line: $(GO) tool cover -html=coverage.out"

.PHONY: chaos
chaos: ## break everything that can break and hold the books to the truth (LONG=1 repeats it for CHAOS_BUDGET, WRITE=1 writes docs/reliability.md)
	@.ci/prepare
	CHAOS_LONG=$(LONG) CHAOS_BUDGET=$(CHAOS_BUDGET) CHAOS_WRITE=$(WRITE) $(WITH_POSTGRES) \
		$(GO) test -trimpath -tags nomsgpack,chaos -timeout $(CHAOS_TIMEOUT) -parallel 8 -run '^TestChaos' $(TEST_FLAGS) ./cmd/conciliar/e2e

# The tests that play what pages show of a terminal.
SESSIONS = ^(TestDocs_TheTranscripts|TestPages_TheQuickStart|TestAdopting_|TestDeploy_ABackupIsRestored|TestServe_RotatesEverySecret|TestShops_EachLearns)

.PHONY: docs
docs: ## write what the commands that the pages show have printed into them
	@.ci/prepare
	$(WITH_POSTGRES) $(GO) test $(AS_BUILT) ./cmd/conciliar/e2e -count 1 -run '$(SESSIONS)' -args -update-docs

.PHONY: catalogue
catalogue: ## write what the migrations make into migrations/catalogue.txt
	@.ci/prepare
	$(WITH_POSTGRES) $(GO) test $(AS_BUILT) ./migrations -count 1 -run TestCatalogue -args -update-catalogue

.PHONY: screenshots
screenshots: ## take the pictures in docs/images anew (ALL=DIR takes every page, in light, dark and on a phone, into DIR)
	@.ci/prepare
	SCREENSHOTS_ALL=$(abspath $(ALL)) $(WITH_POSTGRES) $(GO) test -trimpath -tags nomsgpack,screenshots -count 1 -run '^TestScreenshots_' $(TEST_FLAGS) ./cmd/conciliar/e2e

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (10s)
	@git grep -o -E '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed 's/:func / /' | while read -r file target; do \
		echo "$$target ($${file%/*}, $(FUZZTIME))"; \
		$(GO) test $(AS_BUILT) -vet off -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$${file%/*}"; \
	done

.PHONY: bench
bench: build ## measure the service beside the database's own ceiling
	$(BIN) bench $(BENCH_FLAGS)

.PHONY: bench-go
bench-go: ## run the packages' benchmarks (BENCH=regexp)
	@.ci/prepare
	$(WITH_POSTGRES) $(GO) test $(AS_BUILT) -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

.PHONY: lint
lint: ## check formatting, the modules' checksums, the code and the workflows
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	$(GO) mod verify
	$(GOLANGCI) run ./...
	$(GO) run $(ACTIONLINT)

.PHONY: fmt
fmt: ## format the code
	$(GOLANGCI) fmt ./...

.PHONY: vuln
vuln: ## look for known vulnerabilities; fails when they can't be looked up
	@GO="$(GO)" GOVULNCHECK="$(GOVULNCHECK)" .ci/vuln

.PHONY: ci
ci: lint build image release-check kubernetes test load chaos fuzz ## everything that a change has to pass
	@GO="$(GO)" GOVULNCHECK="$(GOVULNCHECK)" .ci/vuln --if-reachable
