SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export CGO_ENABLED := 1
# Golden files are rewritten by `make golden` alone.
export UPDATE_GOLDEN :=

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0
# Modules of their own beside the root's: what they import is in no binary of make build.
MODULES := cdk knative/conformance
ADDR ?= 127.0.0.1:8080
EXAMPLE ?= examples/digits
ARCH ?= $(shell go env GOARCH)
FUZZTIME ?= 10m
PKG ?= runtime/trigger runtime/trigger/cloudevent adapters/awslambda adapters/azurefunctions adapters/azureml adapters/cloudrun adapters/knative
N ?= 200
LDFLAGS := -s -w -X godwit.dev/internal/app.version=$(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: serve
serve: build ## Serve examples/digits on http://127.0.0.1:8080 (EXAMPLE=, ADDR= change that).
	@bin/godwit serve $(EXAMPLE) --listen $(ADDR)

.PHONY: test
test: onnxruntime ## Run every test that needs no root and no other program than Node.js, and see that docs/tests.md is true.
	@go run ./scripts/proven . $(MODULES)

.PHONY: build
build: onnxruntime ## Build the binaries into bin/.
	@go build -tags lambda.norpc -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: cdk
cdk: ## Build bin/godwit-cdk, with which render makes templates for AWS: a minute the first time; it needs Node.js to run.
	@cd cdk && CGO_ENABLED=0 go build -ldflags '-s -w' -o ../bin/ ./cmd/godwit-cdk

.PHONY: functions
functions: ## Build what functions are packaged from into bin/linux-ARCH, for every glibc from 2.28 on (ARCH="amd64 arm64").
	@scripts/functions.sh $(ARCH)

.PHONY: dist
dist: ## Make dist/godwit-VERSION-OS.tar.gz, with which nobody needs Go; the same commit gives the same bytes.
	@scripts/dist.sh

.PHONY: onnxruntime
onnxruntime: ## Fetch the pinned ONNX Runtime into the user's cache, once.
	@scripts/onnxruntime.sh >/dev/null

# Not raced: cdk, which starts no goroutine and waits for Node.js most of the time;
# knative/conformance, whose goroutines are Knative's and those of one test's stand-ins,
# and which takes minutes to build for it; and the scripts of render and
# deploy, which compress packages of the raced test program for minutes, and start
# nothing at the same time.
.PHONY: check
check: onnxruntime ## Format, vet, lint, race tests, builds without cgo, generated files up to date.
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w $$unformatted"; exit 1; }
	@go vet ./...
	@for m in $(MODULES); do (cd $$m && go vet ./...); done
	@go run $(STATICCHECK) ./...
	@for m in $(MODULES); do (cd $$m && go run $(STATICCHECK) ./...); done
	@CGO_ENABLED=0 go build ./...
	@scripts/linked.sh --check
	@go test -race -skip '^TestScripts$$/^(render|deploy)$$' ./...

.PHONY: e2e
e2e: build ## Run the tests that install other programs: Python and Node.js clients, a browser, namespaces.
	@e2e/run.sh

.PHONY: e2e-knative
e2e-knative: build ## Run the image and what render writes in a real cluster with Knative, built from source; as root.
	@KN=1 e2e/knative/run.sh
	@e2e/knative/cluster.sh

.PHONY: bench
bench: build ## Measure bin/godwit against its floors and goals (QUICK=1, BENCH=7,8, DOCS=1).
	@scripts/bench.sh

.PHONY: bench-peers
bench-peers: build ## Measure bin/godwit beside other servers, which it installs (QUICK=1, BENCH=fastapi,rust, FRESH=1, CHECK=1, DOCS=0).
	@scripts/bench-peers.sh

.PHONY: microbench
microbench: onnxruntime ## Run the Go benchmarks.
	@go test -run '^$$' -bench . -benchmem ./...

.PHONY: fuzz
fuzz: ## Fuzz every decoder for FUZZTIME each (default 10m).
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: mutate
mutate: onnxruntime ## See which of N small mistakes in PKG its tests miss, minutes each (PKG=adapters/knative, N=200, SKIP=TEST).
	@nice -n 10 go run ./scripts/mutate -n $(N) -skip '$(SKIP)' $(PKG)

.PHONY: soak
soak: build ## Serve under load for long and print what memory does.
	@scripts/soak.sh

.PHONY: golden
golden: ## Rewrite the golden files; look at the difference before you commit it.
	@UPDATE_GOLDEN=1 go test ./... >/dev/null; cd cdk && UPDATE_GOLDEN=1 go test ./... >/dev/null; git diff --stat
