//! From Rust to a wasm module and its glue.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasm_bindgen_cli_support::Bindgen;

use crate::shrink;

/// What the compiler and wasm-bindgen made.
pub(crate) struct Built {
    /// The ES module that wasm-bindgen writes, with its exports.
    pub(crate) glue: String,
    /// The module.
    pub(crate) wasm: Vec<u8>,
}

/// Compiles `consent-wasm` for the browser and binds it.
pub(crate) fn build(home: &Path) -> Result<Built> {
    let target = target_dir()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--package",
            "consent-wasm",
            "--lib",
            "--profile",
            "wasm",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(home)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(home))
        // Set by the outer `cargo run`; they would rebuild what does not depend on them.
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("RUSTFLAGS")
        .status()
        .context("run cargo for the widget")?;
    ensure!(
        status.success(),
        "the widget does not compile (is the target there? rustup target add wasm32-unknown-unknown)"
    );

    let input = target.join("wasm32-unknown-unknown/wasm/consent_wasm.wasm");
    let mut output = Bindgen::new()
        .input_path(&input)
        .web(true)
        .context("choose wasm-bindgen's output")?
        .typescript(false)
        // The loader passes the address: the module must not guess one.
        .omit_default_module_path(true)
        .generate_output()
        .with_context(|| format!("bind {}", input.display()))?;
    let glue = output.js().to_owned();
    Ok(Built { glue, wasm: shrink::shrink(&output.wasm_mut().emit_wasm())? })
}

/// A directory of its own beside this binary's, so that the inner build never waits for the outer one's lock.
fn target_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("find this program")?;
    let target = exe.ancestors().nth(2).context("find the target directory above this program")?;
    Ok(target.join("widget"))
}

/// Paths of the machine must not reach the module: its digest is part of every record.
fn rustflags(home: &Path) -> String {
    let mut flags = vec!["-Clink-arg=-zstack-size=65536".to_owned()];
    // Between inlining nothing and inlining what a native build would; measured, in steps, on this module.
    flags.push("-Cllvm-args=-inline-threshold=25".to_owned());
    let workspace = home.parent().unwrap_or(home);
    flags.push(format!("--remap-path-prefix={}=", workspace.display()));
    if let Some(cargo_home) =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::home_dir().map(|h| h.join(".cargo")))
    {
        flags.push(format!("--remap-path-prefix={}=cargo", cargo_home.display()));
    }
    flags.join("\u{1f}")
}
