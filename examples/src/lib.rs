//! What an adopter copies.
//!
//! - `examples/check_cookie.rs`: what the cookie of a request says, in-process.
//! - `examples/verify_export.rs`: an auditor's own verifier.
//! - `site/index.html`: a page with the banner and what it gates.
