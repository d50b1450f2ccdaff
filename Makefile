# `make demo` and `make test` do everything on a fresh machine with rustup: set up, build, run.
.DEFAULT_GOAL := help
.PHONY: help setup widget build static npm demo setup-test test fuzz lint schemathesis bench bench-banner clean

CARGO ?= cargo
DEMO ?=

help: ## List what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup:
	@command -v $(CARGO) >/dev/null || { echo 'Rust is missing: see https://rustup.rs'; exit 1; }
	@command -v cc >/dev/null || tests/setup build-essential
	@rustup target list --installed | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown

widget: setup ## Build the banner: wasm, glue, loader into consent-wasm/dist
	$(CARGO) run --quiet --locked --profile pack -p widget-pack

build: widget ## Build target/release/consent with the banner in it
	$(CARGO) build --locked --release -p consent-server

STATIC := $(shell uname -m)-unknown-linux-musl

static: widget ## Build target/static/consent: Linux, one file that needs no other
	@tests/setup musl-tools
	@rustup target list --installed | grep -qx $(STATIC) || rustup target add $(STATIC)
	TARGET_CC=musl-gcc $(CARGO) build --locked --release -p consent-server --target $(STATIC)
	install -D $${CARGO_TARGET_DIR:-target}/$(STATIC)/release/consent target/static/consent

NPM_PACKAGE ?= target/npm/consent-widget

npm: ## Assemble the widget's npm package in target/npm/consent-widget
	rm -rf '$(NPM_PACKAGE)'
	mkdir -p '$(NPM_PACKAGE)/rules'
	cp consent-wasm/npm/* consent-wasm/consent.d.ts LICENSE LICENSE-MIT LICENSE-APACHE '$(NPM_PACKAGE)'
	cp consent-wasm/rules/*.json '$(NPM_PACKAGE)/rules'

demo: build ## Run a small site with the banner (DEMO="--preset choice" for the other one)
	target/release/consent demo $(DEMO)

setup-test: setup
	@tests/setup build-essential chromium fonts-dejavu-core golang golang-golang-x-mod-dev nginx nodejs npm python3 strace

lint: setup widget ## Check format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --exclude widget-pack --all-targets -- -D warnings
	$(CARGO) clippy --locked --profile pack -p widget-pack --all-targets -- -D warnings
	$(CARGO) build --locked -p consent-core --no-default-features --target wasm32-unknown-unknown
	$(CARGO) check --locked -p consent-tower --no-default-features
	$(CARGO) check --locked -p consent-tower --features tls

test: setup-test widget ## Run every test
	$(CARGO) build --locked -p consent-server
	$(CARGO) test --locked --workspace --exclude parity --exclude widget-pack
	cd tests/browser && npm ci --no-audit --no-fund && npm test

schemathesis: widget ## Look for answers that the API's description does not allow
	@tests/setup build-essential python3 python3-venv
	$(CARGO) build --locked -p consent-server
	tests/schemathesis/run

FUZZ_TARGET ?= all
FUZZ_SECONDS ?= 60
FUZZ_ALL = cookie notice decision request export checkpoint
COVERAGE = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
# Named, so that build scripts and macros are built without the counters.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_BUILD = $(CARGO) build --quiet --locked --profile fuzz -p consent-fuzz

fuzz: widget ## Look for inputs that break a reader (FUZZ_TARGET=cookie FUZZ_SECONDS=600)
	@set -e; targets='$(filter-out all,$(FUZZ_TARGET))'; \
	if command -v c++ >/dev/null; then \
		RUSTFLAGS='$(COVERAGE)' $(FUZZ_BUILD) --target $(HOST) --target-dir target/coverage --features coverage --bin fuzz-coverage; \
		mkdir -p tests/fuzz/found; \
		for target in $${targets:-$(FUZZ_ALL)}; do \
			mkdir -p target/coverage/corpus/$$target; \
			FUZZ_TARGET=$$target TERM=dumb target/coverage/$(HOST)/fuzz/fuzz-coverage target/coverage/corpus/$$target \
				tests/fuzz/corpus/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=20 -artifact_prefix=tests/fuzz/found/$$target-; \
		done; \
	else \
		echo 'No C++ compiler: mutations are not led by coverage, the engine of cargo test goes on for longer.'; \
		$(FUZZ_BUILD) --bin fuzz; \
		TERM=dumb target/fuzz/fuzz $(FUZZ_TARGET) $(FUZZ_SECONDS); \
	fi

bench: build ## Print speeds and sizes beside the targets, at ten thousand and ten million records (BENCH="--quick")
	$(CARGO) run --locked --release -p consent-tests --bin bench -- $(BENCH)

bench-banner: setup-test build ## Print what the banner costs a page, beside others (BENCH="--quick")
	cd tests/banner && npm ci --no-audit --no-fund && npm run --silent bench -- $(BENCH)

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf consent-wasm/dist tests/browser/node_modules tests/banner/node_modules
