#!/bin/sh
# The faults that need mounts or many open files, where CI has neither: run as root from the root of the repository.
set -eu
ulimit -n 11000
sysctl -q -w kernel.unprivileged_userns_clone=1 2>/dev/null || true
sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0 2>/dev/null || true
cargo build --locked -p consent-server
CONSENT_SLOW_CONNECTIONS=10000 cargo test --locked -p consent-tests --test it faults:: -- --nocapture
