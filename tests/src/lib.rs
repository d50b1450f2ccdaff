//! What the tests stand on: the real binary as a child process, its API, and the log recomputed from the rows.
//!
//! [`TestServer`] starts `consent demo` and ends it on drop, [`Api`] asks it, [`DecisionBody`] says what a person decided, and
//! [`check_log`] believes nothing that the server says about its log: it reads the rows and computes the tree again.

mod api;
mod clock;
mod log;
mod serve;
mod server;

pub use api::{Answer, Api, DecisionBody, ORIGIN, new_id, new_subject};
pub use clock::{DAY, FixedClock, days_ago, now};
pub use log::{CheckedLog, LogReader, Tampered, check_log, log_size, open_rows, root_of};
pub use serve::{Installed, SHOP, Serving};
pub use server::{Demo, TestServer, binary, consent, example, wait_until};
