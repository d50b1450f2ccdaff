//! What the widget weighs: its files as they were built, and `consent.js` as it is served with a site's configuration in it.

use std::path::Path;

use anyhow::Context;

use crate::requests::SITE;
use crate::server::Server;

/// Bytes as they are, with gzip, with brotli.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Which file.
    pub(crate) name: String,
    /// In this order: raw, gzip, brotli.
    pub(crate) bytes: [u64; 3],
}

/// `consent.js` as the server sends it.
///
/// # Errors
/// If it does not.
pub(crate) fn served(server: &Server) -> anyhow::Result<Sizes> {
    let mut bytes = [0; 3];
    for (encoding, size) in ["identity", "gzip", "br"].into_iter().zip(&mut bytes) {
        let path = format!("/v1/sites/{SITE}/consent.js");
        let (head, body) = server.get(&path, &format!("Accept-Encoding: {encoding}\r\n"))?;
        let encoded = head.to_lowercase().contains(&format!("content-encoding: {encoding}"));
        anyhow::ensure!(encoding == "identity" || encoded, "consent.js is not sent with {encoding}:\n{head}");
        *size = body.len() as u64;
    }
    Ok(Sizes { name: "consent.js as served".to_owned(), bytes })
}

/// The other files, from the manifest of the build.
///
/// # Errors
/// If the widget was not built.
pub(crate) fn built() -> anyhow::Result<Vec<Sizes>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consent-wasm/dist/manifest.json");
    let text = std::fs::read(&path).with_context(|| format!("{}: `make build` makes it", path.display()))?;
    let manifest: serde_json::Value = serde_json::from_slice(&text)?;
    let files = manifest["files"].as_array().context("a manifest without files")?;
    let sizes = files.iter().map(|file| {
        let size = |name: &str| file[name].as_u64().context("a file without its size");
        let name = file["name"].as_str().context("a file without a name")?.to_owned();
        Ok(Sizes { name, bytes: [size("raw")?, size("gzip")?, size("brotli")?] })
    });
    sizes.filter(|sizes| sizes.as_ref().map_or(true, |s: &Sizes| s.name != "consent.js")).collect()
}
