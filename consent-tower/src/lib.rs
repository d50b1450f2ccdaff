//! Consent checks inside a backend.
//!
//! [`RequireConsent`] is a tower layer that lets a request through only where its visitor has granted a category; `ConsentView` (feature
//! `axum`) is an extractor that never rejects and says what is granted. Both read the visitor's own request, its cookie and its
//! signals, and judge by the same rules as the browser and the service, from `consent-core`.
//!
//! A cookie proves only the last act of its own device. What was revoked elsewhere (on another device, by an officer, by an erasure)
//! is known to the service, so there must be a [`Knowledge`] beside the cookie. The [`Follower`] (feature `feed`) is the one to take:
//!
//! - It asks the service (`authorize`) once for each subject and category it has not seen, and keeps the answer: for
//!   [`Settings::max_age`] (10 s), since a person may revoke on another device of the same account, or without accounts
//!   ([`Settings::accounts`]) for as long as nothing happens to the subject.
//! - It follows the site's event feed; whatever happens to a subject drops what was kept about it, so that it is asked again. A
//!   revocation that the service has acknowledged is heeded when the feed brings it, usually within milliseconds, and within
//!   [`Settings::max_age`] (10 s) at the latest.
//! - Where the feed is older than that, what is kept is not used: the service is asked for each request, and where it does not answer
//!   within [`Settings::timeout`] the visitor is denied. At the start nothing is kept, so everyone is asked for once.
//!
//! Times in cookies are claims of browsers and are not compared with those of the feed: no clock that is wrong can hide a revocation.
//!
//! Whatever is in doubt is denied: an unknown category, an unreadable or doubled cookie, a grant without a subject, a notice that was
//! not fetched yet, a service that is away.
#![cfg_attr(feature = "feed", doc = "```no_run")]
#![cfg_attr(not(feature = "feed"), doc = "```ignore")]
//! use consent_tower::{Follower, RequireConsent, Settings};
//! use std::sync::Arc;
//!
//! let key = std::env::var("CONSENT_KEY")?;
//! let follower = Arc::new(Follower::start(Settings::new("http://127.0.0.1:8080", "shop", key))?);
//! let app: axum::Router = axum::Router::new()
//!     .route("/statistics", axum::routing::post(|| async { "counted" }))
//!     .route_layer(RequireConsent::category(follower, "statistics")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "feed")]
mod feed;
mod judge;
mod layer;
mod visitor;

#[cfg(feature = "axum")]
pub use extract::ConsentView;
#[cfg(feature = "feed")]
pub use feed::{Follower, Settings, SettingsError};
pub use judge::{Denied, Elsewhere, Knowledge};
pub use layer::{Guarded, RequireConsent, ResponseFuture};
