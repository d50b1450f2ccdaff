//! One file for each thing that can be asked.

pub(super) mod accounts;
pub(super) mod admin;
pub(super) mod audit;
pub(super) mod authorize;
pub(super) mod check;
pub(super) mod decisions;
pub(super) mod events;
pub(super) mod export;
mod form;
pub(super) mod judge;
pub(super) mod layers;
pub(super) mod log;
pub(super) mod notice;
pub(super) mod operation;
pub(super) mod records;
pub(super) mod session;
pub(super) mod signals;
