//! What an adopter copies, a folder for each thing:
//!
//! - `site`: a page with the banner and what it gates.
//! - `axum`, `node`, `python`: backends that ask before they use what needs consent. All three serve the same: `/` is there for everybody
//!   and says whether statistics are on, `/statistics` and `/marketing` only for who has granted them. Each takes `CONSENT_SERVICE`,
//!   `CONSENT_SITE` and `PORT` from its environment, those that follow the feed `CONSENT_KEY` too, and prints its address in its first line.
//! - `rust`: `check_cookie.rs`, what the cookie of a request says; `verify_export.rs`, an auditor's own verifier.
