//! Exports: a stretch of a log in, bytes out, in pieces that fit a small buffer.
//!
//! `jsonl` proves itself and is what `consent verify` reads; `csv` is for looking at in a spreadsheet and proves nothing.

pub mod csv;
pub mod jsonl;

use std::io;

use consent_core::record::LeafError;
use consent_core::time::UnixMillis;

use crate::store::{Entry, Site, Store, StoreError, Stretch};

/// How much is written at once, in bytes.
const CHUNK: usize = 64 << 10;

/// The times that an export is asked for: at or after the first, before the second.
pub type TimeRange = (Option<UnixMillis>, Option<UnixMillis>);

/// Why an export ended early. What was written of it is no export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store did not hand the records out.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They could not be written.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
    /// What the store has is not what the log has signed, or cannot be exported.
    #[error(transparent)]
    Unproven(#[from] consent_core::export::ExportError),
    /// A stored record is none.
    #[error("record {index}: {error}")]
    Record {
        /// Its index in the log.
        index: u64,
        /// What is wrong with it.
        error: LeafError,
    },
    /// A record names a notice that the site does not have in this form.
    #[error("a record names notice version {0}, which is not what the site has published")]
    Notice(u32),
    /// The range runs backwards.
    #[error("the export's range ends before it starts")]
    Range,
}

/// Hands each record of the stretch to `each`, until one fails.
fn for_each(
    store: &impl Store,
    site: &Site,
    stretch: &Stretch,
    mut each: impl FnMut(Entry) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut failed = None;
    store.entries(site, stretch.from, stretch.to, &mut |entry| match each(entry) {
        Ok(()) => true,
        Err(error) => {
            failed = Some(error);
            false
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn check_range((from, to): TimeRange) -> Result<(), ExportError> {
    if from.zip(to).is_some_and(|(from, to)| from > to) { Err(ExportError::Range) } else { Ok(()) }
}
