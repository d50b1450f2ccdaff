//! The consent service: HTTP API, store, evidence log and the `consent` command line.
//!
//! Data flows one way: `http` and `cli` ask `app`, which holds the `store`, the clock and the log keys; every rule about consent is
//! in `consent-core`.

pub mod app;
pub mod attempts;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
mod disk;
mod draft;
pub mod export;
mod files;
pub mod http;
mod import;
pub mod keys;
pub mod limits;
pub mod log_client;
mod logging;
pub mod metrics;
pub mod page_lint;
pub mod random;
pub mod signers;
pub mod statistics;
pub mod store;
pub mod users;
pub mod webhooks;
pub mod widget;
pub mod witness;
