//! Embeds the widget that `make widget` has built: the server and the banner it serves are one file.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    demo();
    println!("cargo:rerun-if-changed=../consent-wasm/dist/manifest.json");
    println!("cargo:rerun-if-changed=build.rs");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let dist = Path::new(&root).join("../consent-wasm/dist");
    let manifest = dist.join("manifest.json");
    let Ok(text) = fs::read_to_string(&manifest) else {
        println!("cargo::error=the widget is not built: run `make widget` first (it writes consent-wasm/dist)");
        return;
    };
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("the pack tool writes JSON");
    let field = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut out = String::from("pub(crate) static FILES: &[Asset] = &[\n");
    for file in manifest["files"].as_array().expect("a list of files") {
        let name = field(file, "name");
        let path = dist.join(&name);
        if name == "consent.js" {
            writeln!(out, "// {name} is composed for each site").expect("writing to a string");
            continue;
        }
        let include = |suffix: &str| format!("include_bytes!({:?})", format!("{}{suffix}", path.display()));
        writeln!(
            out,
            "Asset {{ name: {name:?}, kind: {:?}, raw: {}, gzip: {}, brotli: {} }},",
            field(file, "type"),
            include(""),
            include(".gz"),
            include(".br")
        )
        .expect("writing to a string");
    }
    writeln!(
        out,
        "];\npub(crate) const LOADER: &str = include_str!({:?});",
        dist.join("consent.js").display().to_string()
    )
    .expect("writing to a string");
    out.push_str("pub(crate) const ADAPTERS: &[(&str, &str)] = &[\n");
    for file in manifest["adapters"].as_array().expect("a list of adapters") {
        let path = dist.join(field(file, "name"));
        let name = path.file_stem().and_then(|name| name.to_str()).expect("named by the pack tool");
        writeln!(out, "({name:?}, include_str!({:?})),", path.display().to_string()).expect("writing to a string");
    }
    out.push_str("];\n");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("widget.rs");
    fs::write(target, out).expect("the build folder can be written");
}

/// Embeds the pages of the demo site.
fn demo() {
    println!("cargo:rerun-if-changed=demo");
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("demo");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort();
    let mut out = String::from("static FILES: &[(&str, &[u8])] = &[\n");
    for name in files {
        writeln!(out, "({name:?}, include_bytes!({:?})),", root.join(&name).display().to_string())
            .expect("writing to a string");
    }
    out.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("demo.rs"), out)
        .expect("the build folder can be written");
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder of the demo can be read") {
        let path = entry.expect("the folder of the demo can be read").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it is below the root");
            files.push(name.to_str().expect("the demo's names are ASCII").replace('\\', "/"));
        }
    }
}
