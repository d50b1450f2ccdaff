//! The widget's files, embedded at build time.

use std::fmt::Write;

/// A file under a name that changes with its content, in every encoding it is sent in.
pub(crate) struct Asset {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) raw: &'static [u8],
    pub(crate) gzip: &'static [u8],
    pub(crate) brotli: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/widget.rs"));

/// Where in [`LOADER`] a site's configuration goes.
pub(crate) const CONFIG: &str = "__CONSENT_CONFIG__";

/// The name among [`ADAPTERS`] of development mode.
pub(crate) const DEBUG: &str = "debug";

/// The file with this ending; the pack tool makes one of each.
pub(crate) fn by_ending(ending: &str) -> Option<&'static Asset> {
    FILES.iter().find(|asset| asset.name.ends_with(ending))
}

/// The style of a shadow root of ours in HTML: as a link where a page's policy allows no style in the page itself.
pub(crate) fn style(sheets: &[&'static str], theme: &str, linked: bool, nonce: Option<&str>) -> String {
    let assets = || sheets.iter().filter_map(|sheet| by_ending(sheet));
    let mut html = String::new();
    if linked {
        for asset in assets() {
            write!(html, "<link rel=\"stylesheet\" href=\"/assets/{}\">", asset.name).expect("writing to a string");
        }
        return html;
    }
    html.push_str("<style");
    if let Some(nonce) = nonce {
        write!(html, " nonce=\"{nonce}\"").expect("writing to a string");
    }
    html.push('>');
    for asset in assets() {
        html.push_str(std::str::from_utf8(asset.raw).unwrap_or_default());
    }
    html.push_str(theme);
    html.push_str("</style>");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_has_its_adapter() {
        let mut names = consent_core::adapter::Platform::ALL.map(consent_core::adapter::Platform::as_str);
        names.sort_unstable();
        let adapters: Vec<_> = ADAPTERS.iter().map(|(name, _)| *name).filter(|name| *name != DEBUG).collect();
        assert_eq!(adapters, names);
        assert_eq!(ADAPTERS.len(), names.len() + 1, "development mode is one of them");
        for (name, code) in ADAPTERS {
            assert!(!code.contains("</") && !code.contains(CONFIG), "{name}");
        }
    }

    #[test]
    fn the_widget_is_whole() {
        assert_eq!(LOADER.matches(CONFIG).count(), 1, "the loader has one place for its configuration");
        assert!(by_ending(".js").is_some() && by_ending(".wasm").is_some());
    }
}
