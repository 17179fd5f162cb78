# The commands of this repository; `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build sbom reproduce test check bench chaos pitr bench-go bench-compare deps tools reset fmt go

# Where Go's own installer puts it, for shells that do not know yet.
export PATH := $(PATH):/usr/local/go/bin
# The version is given below; asking git again fails in a checkout of another user's.
export GOFLAGS := $(strip $(filter-out -buildvcs=%,$(GOFLAGS)) -buildvcs=false)
export SHINGLE_DATA_DIR ?= .shingle

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build, then run everything on this machine with three demo boards
	@exec bin/shingle dev

build: go ## Build bin/shingle
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -tags nomsgpack -ldflags "-s -w -X main.version=$(VERSION)" -o bin/shingle ./cmd/shingle

sbom: build bin/tools/cyclonedx-gomod ## List what is in bin/shingle, with versions and licences: bin/shingle.cdx.json (CycloneDX)
	@bin/tools/cyclonedx-gomod bin -json -licenses -std -noserial -notimestamp -version "$(VERSION)" -output bin/shingle.cdx.json bin/shingle
	@echo "bin/shingle.cdx.json lists $$(grep -c '"purl"' bin/shingle.cdx.json) modules"

reproduce: go ## Build twice, elsewhere and from nothing, and compare: the same source is the same program
	@scripts/reproduce.sh "$(VERSION)"

test: deps bin/tools/stripe-mock bin/tools/pebble bin/tools/helm ## Vet and test everything; pictures are kept as artefacts
	@scripts/test.sh

check: bin/tools/kubectl-validate test ## Test, again under the race detector, then lint, look for known vulnerabilities, and check licences and that the build repeats
	@scripts/check.sh

bench: export BENCH_DATA ?= $(wildcard ../shared/data/listings.jsonl)
bench: build deps ## Measure serve and worker as users meet them; BENCH=full: 1,000 boards × 1,000 listings
	@go run ./cmd/bench $(BENCHFLAGS)

chaos: build deps ## Let things go wrong under load and see what was promised kept; CHAOS=long [SEED=n]: for 30 minutes; FROM=revision to upgrade from
	@scripts/chaos.sh "$(CHAOS)" "$(FROM)" "$(SEED)"

pitr: deps ## Try point-in-time recovery with a local archive, from nothing
	@scripts/pitr-drill.sh

bench-go: deps bin/tools/pebble ## Run the Go benchmarks, each bar of the design among them
	@scripts/bench.sh

bench-compare: deps ## Compare the Go benchmarks of two revisions: FROM=main~1 [TO=HEAD] [BENCH=regexp] [PKG=./tenant]
	@scripts/bench-compare.sh "$(FROM)" "$(or $(TO),HEAD)" "$(or $(BENCH),.)" $(PKG)

deps: go ## Install what tests need and this machine lacks (Debian and Ubuntu)
	@scripts/deps.sh

tools: bin/tools/stripe-mock bin/tools/pebble bin/tools/helm bin/tools/kubectl-validate bin/tools/golangci-lint bin/tools/govulncheck bin/tools/cyclonedx-gomod bin/tools/benchstat bin/tools/promtool ## Build the programs of tests and checks into bin/tools

reset: ## Stop a running `make run` and delete its data
	@scripts/reset.sh

fmt: go ## Format the Go code
	@gofmt -w $$(git ls-files --cached --others --exclude-standard -- '*.go')

go:
	@command -v go >/dev/null || { echo 'Go is missing: install Go 1.26 or newer, then try again.' >&2; exit 1; }

tool-path-stripe-mock := github.com/stripe/stripe-mock
tool-path-pebble := github.com/letsencrypt/pebble/v2/cmd/pebble
tool-path-golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
tool-path-govulncheck := golang.org/x/vuln/cmd/govulncheck
tool-path-cyclonedx-gomod := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
tool-path-benchstat := golang.org/x/perf/cmd/benchstat

# These need versions of other modules that differ, so each stands alone.
bin/tools/helm: tool-module := helm.sh/helm/v3/cmd/helm@v3.19.0
bin/tools/kubectl-validate: tool-module := sigs.k8s.io/kubectl-validate@v0.0.4
bin/tools/promtool: tool-module := github.com/prometheus/prometheus/cmd/promtool@v0.316.0
bin/tools/helm bin/tools/kubectl-validate bin/tools/promtool: Makefile | go
	@mkdir -p bin/tools
	@echo "building $(@F), once"
	@GOBIN=$(CURDIR)/bin/tools GOFLAGS= CGO_ENABLED=0 go install -trimpath $(tool-module)
	@touch $@

# The other tools have versions of their own, in tools/go.mod.
bin/tools/%: tools/go.mod tools/go.sum | go
	@mkdir -p bin/tools
	@echo "building $*, once"
	@cd tools && CGO_ENABLED=0 go build -trimpath -o ../bin/tools/$* $(tool-path-$*)
	@touch $@
