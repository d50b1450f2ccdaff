//! What consent is.
//!
//! The domain of the consent platform, without I/O, clock or randomness: time and ids come in as arguments, so the server and the
//! browser run the same rules and a test can run them both with the same histories.
//!
//! Always there, `no_std` with `alloc` (this is what the widget carries): [`id`], [`time`], [`outline`], [`decision`], [`consent`],
//! [`cookie`]. With the feature `backend`: fast search in headers, and an outline read from the notice that the service publishes.
//! With the feature `evidence` (the server, auditors): notices with their texts and lint, the canonical bytes of a
//! record, the Merkle tree, signed checkpoints and what witnesses say of them, receipts and exports.
//!
//! ```
//! use consent_core::{consent::Consent, cookie::Cookie, id::ChoiceId, outline::Outline, time::UnixMillis};
//!
//! let outline = Outline::builder(1).necessary("functional").optional("statistics").build()?;
//! let cookie = Cookie::parse("1.1.1700000000.AAAAAAAAQACAAAAAAAAAAQ.statistics.")?;
//! let consent = Consent::from_cookie_only(&cookie, &outline);
//! let at = UnixMillis::from_seconds(1_700_000_060);
//! assert!(consent.view(&outline, at, false).granted(&ChoiceId::parse("statistics")?));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![cfg_attr(not(any(feature = "evidence", test)), no_std)]

extern crate alloc;

pub mod consent;
pub mod cookie;
pub mod decision;
pub mod id;
pub mod outline;
pub mod time;

#[cfg(feature = "evidence")]
pub mod account;
#[cfg(feature = "evidence")]
pub mod adapter;
#[cfg(feature = "evidence")]
pub mod checkpoint;
#[cfg(feature = "evidence")]
pub mod export;
#[cfg(feature = "evidence")]
pub mod lint;
#[cfg(feature = "evidence")]
pub mod merkle;
#[cfg(feature = "evidence")]
pub mod note;
#[cfg(feature = "evidence")]
pub mod notice;
#[cfg(feature = "evidence")]
pub mod receipt;
#[cfg(feature = "evidence")]
pub mod record;
#[cfg(feature = "evidence")]
pub mod render;
#[cfg(feature = "evidence")]
pub mod rotation;
#[cfg(feature = "evidence")]
pub mod texts;
#[cfg(feature = "evidence")]
pub mod theme;
#[cfg(feature = "evidence")]
pub mod tile;
#[cfg(feature = "evidence")]
pub mod witness;
