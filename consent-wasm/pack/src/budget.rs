//! What the widget may weigh. A build over budget fails: size is a promise, and promises are checked where they would be broken.

use anyhow::{Result, bail};

use crate::compress::{brotli, gzip};
use crate::dist::{DEBUG, Dist};
use crate::script::PLACEHOLDER;

/// `consent.js` with a site's configuration in it, brotli.
const LOADER: usize = 4096;
/// All that a person loads who opens the settings, brotli: loader with configuration, core module, wasm.
const ALL: usize = 20_000;
/// What one adapter adds to the `consent.js` of a site that uses it, brotli.
const ADAPTER: usize = 512;

/// Prints the table and compares it with the budgets. `sample` is the configuration of a realistic site.
pub(crate) fn check(dist: &Dist, sample: &str) -> Result<()> {
    let [loader, core, wasm] = &dist.shipped;
    let completed = String::from_utf8_lossy(&loader.raw).replace(PLACEHOLDER, sample.trim_end());
    let completed = completed.as_bytes();
    let completed = [completed.len(), gzip(completed)?.len(), brotli(completed)?.len()];

    let row = |name: &str, [raw, gz, br]: [usize; 3]| println!("{name:<28} {raw:>8} {gz:>8} {br:>8}");
    println!("{:<28} {:>8} {:>8} {:>8}", "widget, bytes", "raw", "gzip", "brotli");
    let mut sum = completed;
    row("consent.js with a config", completed);
    for file in [core, wasm] {
        let sizes = [file.raw.len(), file.gzip.len(), file.brotli.len()];
        row(&file.name, sizes);
        for (total, size) in sum.iter_mut().zip(sizes) {
            *total += size;
        }
    }
    row("all", sum);
    for file in &dist.adapters {
        row(&file.name, [file.raw.len(), file.gzip.len(), file.brotli.len()]);
    }
    println!("build {}", dist.build);

    if completed[2] > LOADER {
        bail!("consent.js is {} bytes with brotli, over its budget of {LOADER}", completed[2]);
    }
    if sum[2] > ALL {
        bail!("the widget is {} bytes with brotli, over its budget of {ALL}", sum[2]);
    }
    let visitors = dist.adapters.iter().filter(|file| file.name != format!("adapters/{DEBUG}.js"));
    if let Some(file) = visitors.into_iter().find(|file| file.brotli.len() > ADAPTER) {
        bail!("{} is {} bytes with brotli, over its budget of {ADAPTER}", file.name, file.brotli.len());
    }
    Ok(())
}
