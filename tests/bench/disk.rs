//! What the disk could do if there were nothing but it: the bytes of the records, appended and synced at the same batch size.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Records per second of `leaf` bytes each, `batch` of them before every `fdatasync`.
///
/// # Errors
/// If the disk does not take them.
pub(crate) fn append_and_sync(folder: &Path, leaf: usize, batch: f64, each: Duration) -> anyhow::Result<f64> {
    let path = folder.join("bare");
    let mut file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    #[expect(clippy::cast_precision_loss, reason = "a leaf is some hundred bytes")]
    let bytes = leaf as f64 * batch;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and at most 32 leaves")]
    let bytes = vec![b'x'; bytes.round() as usize];
    let begin = Instant::now();
    let mut syncs = 0u32;
    while begin.elapsed() < each {
        file.write_all(&bytes)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = f64::from(syncs) * batch / begin.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(&path)?;
    Ok(rate)
}
