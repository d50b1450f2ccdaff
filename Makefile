# `make demo` and `make test` do everything on a fresh machine with rustup: set up, build, run.
.DEFAULT_GOAL := help
.PHONY: help setup widget build npm demo setup-test test lint schemathesis bench bench-banner clean

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

NPM_PACKAGE ?= target/npm/consent-widget

npm: ## Assemble the widget's npm package in target/npm/consent-widget
	rm -rf '$(NPM_PACKAGE)'
	mkdir -p '$(NPM_PACKAGE)/rules'
	cp consent-wasm/npm/* consent-wasm/consent.d.ts LICENSE LICENSE-MIT LICENSE-APACHE '$(NPM_PACKAGE)'
	cp consent-wasm/rules/*.json '$(NPM_PACKAGE)/rules'

demo: build ## Run a small site with the banner (DEMO="--preset choice" for the other one)
	target/release/consent demo $(DEMO)

setup-test: setup
	@tests/setup build-essential chromium fonts-dejavu-core nginx nodejs npm python3 strace

lint: setup widget ## Check format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --exclude widget-pack --all-targets -- -D warnings
	$(CARGO) clippy --locked --profile pack -p widget-pack --all-targets -- -D warnings
	$(CARGO) build --locked -p consent-core --no-default-features --target wasm32-unknown-unknown

test: setup-test widget ## Run every test
	$(CARGO) build --locked -p consent-server
	$(CARGO) test --locked --workspace --exclude parity --exclude widget-pack
	cd tests/browser && npm ci --no-audit --no-fund && npm test

schemathesis: widget ## Look for answers that the API's description does not allow
	@tests/setup build-essential python3 python3-venv
	$(CARGO) build --locked -p consent-server
	tests/schemathesis/run

bench: build ## Print speeds and sizes beside the targets
	$(CARGO) run --locked --release -p consent-tests --bin bench

bench-banner: setup-test build ## Print what the banner costs a page, beside others (BENCH="--quick")
	cd tests/banner && npm ci --no-audit --no-fund && npm run --silent bench -- $(BENCH)

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf consent-wasm/dist tests/browser/node_modules tests/banner/node_modules
