//! Tests of the real binary, the store and the command line: see the modules. Build the binary first (`make test` does).

mod accounts;
mod api;
mod authorize;
mod cli;
mod crash;
mod durability;
mod events;
mod examples;
mod faults;
mod go;
mod import;
mod layers;
mod limits;
mod lint_page;
mod malformed;
mod migrations;
mod nginx;
mod openapi;
mod operation;
mod parity;
mod public_log;
mod roles;
mod store;
mod users;
mod webhooks;
mod witness;
