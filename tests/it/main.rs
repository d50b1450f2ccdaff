//! Tests of the real binary, the store and the command line: see the modules. Build the binary first (`make test` does).

mod api;
mod cli;
mod crash;
mod durability;
mod layers;
mod lint_page;
mod malformed;
mod openapi;
mod parity;
mod store;
