//! The widget's files, embedded at build time.

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

/// The file with this ending; the pack tool makes one of each.
pub(crate) fn by_ending(ending: &str) -> Option<&'static Asset> {
    FILES.iter().find(|asset| asset.name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_has_its_adapter() {
        let mut names = consent_core::adapter::Platform::ALL.map(consent_core::adapter::Platform::as_str);
        names.sort_unstable();
        assert_eq!(ADAPTERS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
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
