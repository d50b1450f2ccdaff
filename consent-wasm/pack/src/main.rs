//! Builds the widget: `cargo run -p widget-pack` writes `consent-wasm/dist/`.
//!
//! Everything it needs is pinned by Cargo.lock: wasm-bindgen and the minifier are libraries here, so nobody installs a tool by hand
//! and two machines make the same bytes. The digest of those bytes is what every record names as `widget`, so the output must not
//! depend on the time, the machine or the order in which a directory is read.

mod budget;
mod compress;
mod dist;
mod script;
mod shrink;
mod style;
mod wasm;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The files of the loader, in the order in which they are joined: later ones use what earlier ones declare.
const LOADER: &[&str] =
    &["config.js", "memory.js", "gate.js", "dom.js", "embeds.js", "layer.js", "core.js", "api.js", "start.js"];

/// The files of the core module, joined after the wasm-bindgen glue.
const CORE: &[&str] = &[
    "judge.js",
    "notice.js",
    "cookies.js",
    "storage.js",
    "client.js",
    "sweep.js",
    "decide.js",
    "settings.js",
    "start.js",
];

/// The files of `js/adapters`: one for each platform, of which a site is sent those that its notice names.
const ADAPTERS: &[&str] = &[
    "google-consent-mode",
    "meta-pixel",
    "microsoft-clarity",
    "microsoft-uet",
    "shopify",
    "tiktok-pixel",
    "wordpress",
];

fn main() -> Result<()> {
    let home = home()?;
    let built = wasm::build(&home)?;

    let banner_css = style::squeeze(&read(&home, "css/banner.css")?);
    let settings_css = style::squeeze(&read(&home, "css/settings.css")?);

    let loader = join(&home, "js/loader", LOADER)?.replace("__BANNER_CSS__", &script::literal(&banner_css));
    let loader =
        script::minify(&format!("(() => {{\n{loader}}})();\n"), script::Kind::Classic).context("minify consent.js")?;
    script::check_placeholder(&loader)?;

    let core = join(&home, "js/core", CORE)?
        .replace("__SETTINGS_CSS__", &script::literal(&settings_css))
        .replace("__BUILD__", &script::literal(dist::NO_BUILD));
    let core = script::minify(&format!("{}\n{core}", script::without_exports(&built.glue)), script::Kind::Module)
        .context("minify the core module")?;

    let page_css = style::squeeze(&read(&home, "css/page.css")?);
    let sheets = [("banner.css", banner_css), ("settings.css", settings_css), ("page.css", page_css)];

    let mut adapters = Vec::new();
    let sources = ADAPTERS.iter().map(|name| (*name, format!("adapters/{name}.js")));
    // Takes the place of an adapter in the consent.js of those who ask for it.
    for (name, source) in sources.chain([(dist::DEBUG, "debug.js".to_owned())]) {
        let code =
            script::expression(&read(&home, &format!("js/{source}"))?).with_context(|| format!("minify {source}"))?;
        adapters.push((format!("adapters/{name}.js"), code));
    }

    let types = read(&home, "consent.d.ts")?;
    let dist = dist::Dist::new(&home.join("dist"), loader, &core, built.wasm, &sheets, adapters, types)?;
    dist.write()?;
    let sample = read(&home, "pack/sample-config.js")?;
    budget::check(&dist, &sample)
}

/// The directory of the `consent-wasm` crate.
fn home() -> Result<PathBuf> {
    let pack = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("consent-wasm/pack"), PathBuf::from);
    pack.join("..").canonicalize().with_context(|| format!("find the widget's sources beside {}", pack.display()))
}

fn read(home: &std::path::Path, name: &str) -> Result<String> {
    std::fs::read_to_string(home.join(name)).with_context(|| format!("read consent-wasm/{name}"))
}

fn join(home: &std::path::Path, folder: &str, names: &[&str]) -> Result<String> {
    let mut joined = String::new();
    for name in names {
        joined.push_str(&read(home, &format!("{folder}/{name}"))?);
        joined.push('\n');
    }
    Ok(joined)
}
