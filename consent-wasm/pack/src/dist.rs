//! What is shipped: names, bytes, digests and the manifest that the server embeds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::compress::{brotli, gzip};

/// One shipped file and its compressed forms.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) media_type: &'static str,
    pub(crate) raw: Vec<u8>,
    pub(crate) gzip: Vec<u8>,
    pub(crate) brotli: Vec<u8>,
    sha256: String,
    /// Whether the compressed forms are written beside it. `consent.js` is completed per site first, so its are the server's to make.
    final_bytes: bool,
}

impl File {
    fn new(name: String, media_type: &'static str, raw: Vec<u8>, final_bytes: bool) -> Result<Self> {
        let (gzip, brotli) = (gzip(&raw)?, brotli(&raw)?);
        let sha256 = HEXLOWER.encode(&Sha256::digest(&raw));
        Ok(Self { name, media_type, raw, gzip, brotli, sha256, final_bytes })
    }
}

/// Stands in the core module where it names the build that it is part of, until that is known.
pub(crate) const NO_BUILD: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The digest of all shipped bytes, in which the digest itself reads as [`NO_BUILD`].
fn build(files: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        // Each file's own digest has a fixed length, so no two lists of files read as the same bytes.
        hash.update(Sha256::digest(file));
    }
    HEXLOWER.encode(&hash.finalize())
}

/// The directory `dist` and all that goes in it.
pub(crate) struct Dist {
    directory: PathBuf,
    /// The digest of all shipped bytes: what a record names as `widget`.
    pub(crate) build: String,
    /// `consent.js`, the core module, the wasm: what a browser loads.
    pub(crate) shipped: [File; 3],
    /// The style sheets, for pages that carry the banner in their HTML and for pages without scripts.
    sheets: Vec<File>,
    /// What the server puts into `consent.js` for the sites that name it, by name.
    pub(crate) adapters: Vec<File>,
    types: String,
}

/// The name among the adapters of what is served to developers only.
pub(crate) const DEBUG: &str = "debug";

const SCRIPT: &str = "text/javascript; charset=utf-8";

impl Dist {
    /// `sheets` are style sheets by the endings of their names.
    pub(crate) fn new(
        directory: &Path,
        loader: String,
        core: &str,
        wasm: Vec<u8>,
        sheets: &[(&str, String)],
        adapters: Vec<(String, String)>,
        types: String,
    ) -> Result<Self> {
        ensure!(core.matches(NO_BUILD).count() == 1, "the core module must name the build in one place");
        let mut bytes = vec![loader.as_bytes(), core.as_bytes(), &wasm];
        bytes.extend(adapters.iter().map(|(_, code)| code.as_bytes()));
        let build = build(&bytes);
        let core = core.replace(NO_BUILD, &build);
        // One digest for both: they are of use only together, and consent.js names each in a few bytes less.
        let pair = HEXLOWER.encode(&Sha256::new().chain_update(&core).chain_update(&wasm).finalize()[..4]);
        let shipped = [
            File::new("consent.js".to_owned(), SCRIPT, loader.into_bytes(), false)?,
            File::new(format!("core-{pair}.js"), SCRIPT, core.into_bytes(), true)?,
            File::new(format!("core-{pair}.wasm"), "application/wasm", wasm, true)?,
        ];
        let sheets = sheets.iter().map(|(ending, css)| {
            let digest = HEXLOWER.encode(&Sha256::digest(css)[..4]);
            File::new(format!("{digest}-{ending}"), "text/css; charset=utf-8", css.clone().into_bytes(), true)
        });
        let sheets = sheets.collect::<Result<_>>()?;
        let adapters = adapters.into_iter().map(|(name, code)| File::new(name, SCRIPT, code.into_bytes(), false));
        let adapters = adapters.collect::<Result<_>>()?;
        Ok(Self { directory: directory.to_owned(), build, shipped, sheets, adapters, types })
    }

    /// Replaces the directory.
    pub(crate) fn write(&self) -> Result<()> {
        // Built beside it and moved into place: a server that is compiled meanwhile sees one build or the other.
        let fresh = self.directory.with_extension("new");
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir_all(fresh.join("adapters")).with_context(|| format!("create {}", fresh.display()))?;
        let put =
            |name: &str, bytes: &[u8]| fs::write(fresh.join(name), bytes).with_context(|| format!("write {name}"));
        for file in self.shipped.iter().chain(&self.sheets).chain(&self.adapters) {
            put(&file.name, &file.raw)?;
            if file.final_bytes {
                put(&format!("{}.br", file.name), &file.brotli)?;
                put(&format!("{}.gz", file.name), &file.gzip)?;
            }
        }
        put("consent.d.ts", self.types.as_bytes())?;
        let mut manifest = serde_json::to_string_pretty(&self.manifest()).context("write the manifest")?;
        manifest.push('\n');
        put("manifest.json", manifest.as_bytes())?;
        let _ = fs::remove_dir_all(&self.directory);
        fs::rename(&fresh, &self.directory).with_context(|| format!("replace {}", self.directory.display()))
    }

    fn manifest(&self) -> serde_json::Value {
        let list = |files: &mut dyn Iterator<Item = &File>| -> Vec<_> {
            let one = |f: &File| {
                json!({
                    "name": f.name, "type": f.media_type, "raw": f.raw.len(), "gzip": f.gzip.len(), "brotli": f.brotli.len(),
                    "sha256": f.sha256,
                })
            };
            files.map(one).collect()
        };
        json!({ "build": self.build, "files": list(&mut self.shipped.iter().chain(&self.sheets)), "adapters": list(&mut self.adapters.iter()) })
    }
}
