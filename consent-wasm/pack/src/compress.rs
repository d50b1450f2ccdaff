//! The forms in which a server sends a file.

use std::io::Write;

use anyhow::{Context, Result};
use brotli::enc::BrotliEncoderParams;
use brotli::enc::backward_references::BrotliEncoderMode;

/// Brotli at its best level, once per build: the smallest of what its models make of the bytes.
pub(crate) fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut best: Option<Vec<u8>> = None;
    for mode in [
        BrotliEncoderMode::BROTLI_MODE_GENERIC,
        BrotliEncoderMode::BROTLI_MODE_TEXT,
        BrotliEncoderMode::BROTLI_MODE_FONT,
    ] {
        for lgwin in [16, 22] {
            let parameters =
                BrotliEncoderParams { quality: 11, lgwin, mode, size_hint: bytes.len(), ..Default::default() };
            let mut out = Vec::new();
            brotli::BrotliCompress(&mut &bytes[..], &mut out, &parameters)?;
            if best.as_ref().is_none_or(|best| out.len() < best.len()) {
                best = Some(out);
            }
        }
    }
    best.context("there is more than one model")
}

/// Gzip at its best level, without a time stamp: the same bytes every time.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}
