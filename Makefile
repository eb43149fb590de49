# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

BIN := node_modules/.bin
MOCHA := $(BIN)/mocha
# What runs at the same time: checks, and test files but for those that want the machine for themselves.
JOBS ?= $(shell nproc)
MOCHA_TOGETHER := $(MOCHA) --parallel --jobs $(JOBS) --ignore 'dist/test/**/*.alone.test.js'
SOURCES := $(shell find src agent proto/gen migrations test demo docs -name '*.ts' 2>/dev/null) tsconfig.json
# The browser page: what its compiler does not make is copied.
PAGE_FILES := $(wildcard src/page/*.html src/page/*.css src/page/*.svg)
PAGE_SOURCES := $(PAGE_FILES) src/page/tsconfig.json

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- what a person runs -------------------------------------------------------------------------------------------

.PHONY: demo
demo: packages-demo build ## Two machines, a controller and an agent on this computer; prints console URLs (ONCE=1: and leaves)
	@exec node dist/demo/main.js

.PHONY: test
test: packages-test build ## All tests: unit, integration and system
	@$(MAKE) --no-print-directory test-unit test-together test-alone

.PHONY: bench
bench: packages-bench build ## Measure GetSpiceConsole beside its bare floor; writes docs/benchmarks.md
	node dist/test/bench/main.js

.PHONY: bench-load
bench-load: packages-demo build ## Measure a controller with thousands of simulated hosts alone (HOSTS="1000 10000")
	node dist/test/bench/main.js scale $(HOSTS)

.PHONY: bench-path
bench-path: packages-bench build ## Measure the ways of a screen's bytes alone (WAYS="tunnel websockify")
	node dist/test/bench/main.js path $(WAYS)

.PHONY: soak
soak: packages-demo build ## An hour of load and kills; says what leaks (SOAK_MINUTES, SOAK_REPORT=file)
	node dist/test/soak/main.js

# --- building -----------------------------------------------------------------------------------------------------

.PHONY: install
install: node_modules/.package-lock.json ## Install the npm packages

node_modules/.package-lock.json: package.json package-lock.json
	@bash demo/check-tools.sh
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: packages-demo packages-test packages-bench
packages-demo:
	@bash demo/install-packages.sh demo
packages-test:
	@bash demo/install-packages.sh test
packages-bench:
	@bash demo/install-packages.sh bench

.PHONY: build
build: dist/.built ## Compile everything to dist/

dist/.built: node_modules/.package-lock.json $(SOURCES) $(PAGE_SOURCES)
	$(BIN)/tsc -p .
	$(BIN)/tsc -p src/page
	@cp $(PAGE_FILES) dist/src/page/
	@chmod +x dist/src/main.js dist/agent/main.js
	@touch $@

.PHONY: generate
generate: node_modules/.package-lock.json ## Generate proto/gen from the proto files
	$(BIN)/buf generate
	$(BIN)/buf build -o proto/gen/spicegate.binpb

.PHONY: docs
docs: build ## Generate the reference pages in docs/
	node dist/docs/generate.js
	$(BIN)/prettier --log-level warn --write docs/*.md docs/security/*.md

.PHONY: format
format: install ## Format the code
	$(BIN)/buf format -w
	$(BIN)/prettier --log-level warn --write .

.PHONY: release-protos
release-protos: install ## Make today's protocols the ones that later changes must not break
	$(BIN)/buf build -o proto/released.binpb

.PHONY: clean
clean: ## Remove what was built
	rm -rf dist coverage

# --- checks -------------------------------------------------------------------------------------------------------

.PHONY: check
check: install ## Format, lint, types, import ranks, protocols, generated files; leaves the tree as it was
	@before=$$($(TREE_HASH)); \
	$(MAKE) --no-print-directory format generate; \
	$(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=target typecheck lint deps proto-lint proto-breaking; \
	$(MAKE) --no-print-directory docs; \
	after=$$($(TREE_HASH)); \
	if [ "$$before" != "$$after" ]; then \
	  git status --short; \
	  echo "make check changed files: something was not formatted or generated. Review and commit the change."; \
	  exit 1; \
	fi; \
	echo "check: all good, the tree is unchanged"

TREE_HASH = git ls-files -co --exclude-standard -z | sort -z | xargs -0 sha256sum 2>/dev/null | sha256sum

.PHONY: lint
lint: install ## ESLint
	$(BIN)/eslint --max-warnings 0 .

.PHONY: typecheck
typecheck: install ## The compiler, without output
	$(BIN)/tsc --noEmit -p .
	$(BIN)/tsc --noEmit -p src/page

.PHONY: deps
deps: install ## Import directions
	$(BIN)/depcruise --config .dependency-cruiser.cjs src agent demo migrations test docs proto/gen

.PHONY: proto-lint
proto-lint: install ## Style and comments of the protocols
	$(BIN)/buf lint

.PHONY: proto-breaking
proto-breaking: install ## Compatibility with the last release's protocols
	$(BIN)/buf breaking --against proto/released.binpb

.PHONY: audit
audit: install ## Known vulnerabilities of the packages that are shipped (AUDIT_REQUIRED=1: fails where nobody answers)
	@bash packaging/audit-packages.sh

.PHONY: sbom
sbom: install ## What is shipped, as CycloneDX: dist/spicegate.cdx.json
	@mkdir -p dist
	@npm sbom --sbom-format cyclonedx --sbom-type application --omit dev --package-lock-only > dist/spicegate.cdx.json
	@echo "sbom: dist/spicegate.cdx.json"

.PHONY: fuzz
fuzz: build ## Random input to whatever reads strangers' bytes (FUZZ_SECONDS=600, FUZZ=headers, FUZZ_SEED=1)
	@JOBS=$(JOBS) node dist/test/fuzz/main.js

.PHONY: test-unit
test-unit: build ## Tests without network or database
	@echo "=== unit tests, $(JOBS) files at a time"
	@$(MOCHA_TOGETHER) 'dist/test/unit/**/*.test.js'

.PHONY: test-integration
test-integration: build ## Tests against real Postgres, libvirt and QEMU
	@echo "=== integration tests, $(JOBS) files at a time"
	@$(MOCHA_TOGETHER) 'dist/test/integration/**/*.test.js'

.PHONY: test-system
test-system: build ## Scenarios with controller and agent as processes
	@echo "=== system tests, $(JOBS) files at a time"
	@$(MOCHA_TOGETHER) 'dist/test/system/**/*.test.js'

# One run of both, so that no processor waits for the end of the first.
.PHONY: test-together
test-together: build
	@echo "=== system and integration tests, $(JOBS) files at a time; each is shown when it has ended"
	@$(MOCHA_TOGETHER) 'dist/test/system/**/*.test.js' 'dist/test/integration/**/*.test.js'

.PHONY: test-alone
test-alone: build ## Tests that measure memory, rates or short times, one after the other
	@echo "=== tests that want the machine for themselves"
	@$(MOCHA) 'dist/test/**/*.alone.test.js'
