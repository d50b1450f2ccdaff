//! Takes out of the module what can never matter to a page.
//!
//! A panic of ours is a trap and nothing else, but the standard library comes compiled, and its way to the trap leads through the
//! formatting of a message that nobody will see: an eighth of the module. On nightly, `panic = "immediate-abort"` and a rebuilt
//! `std` would do the same.

use anyhow::{Context, Result, bail, ensure};
use walrus::ir::{CallIndirect, ReturnCallIndirect, Visitor, dfs_in_order};
use walrus::{ElementItems, FunctionKind, Module, ModuleConfig, passes};

/// Parts of the names of functions that only ever end in a panic.
const PANICS: [&str; 6] =
    ["9panicking", "alloc_error_handler", "capacity_overflow", "slice_index_fail", "slice_error_fail", "_failed"];

/// What the page calls: the one function, and what wasm-bindgen's glue needs to hand it a text. The rest of what wasm-bindgen exports
/// and imports is for JavaScript objects in Rust's hands, of which there are none.
const EXPORTS: [&str; 5] = ["memory", "judge", "__wbindgen_malloc", "__wbindgen_realloc", "__wbindgen_free"];

/// The same module, smaller: it computes the same, and traps where it panicked.
pub(crate) fn shrink(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = read(wasm)?;
    // Tables hold functions for calls through pointers. With the messages gone nothing makes such a call, as a rule, and then what
    // the tables hold is as dead as the messages.
    for element in module.elements.iter_mut() {
        element.items = ElementItems::Functions(Vec::new());
    }
    passes::gc::run(&mut module);
    if calls_pointers(&module) {
        module = read(wasm)?;
        passes::gc::run(&mut module);
    }
    if let Some(import) = module.imports.iter().next() {
        // js/core/start.js gives it none.
        bail!("the module imports {} from JavaScript", import.name);
    }
    Ok(module.emit_wasm())
}

fn read(wasm: &[u8]) -> Result<Module> {
    let mut config = ModuleConfig::new();
    // Names are read here and not written again.
    config.generate_name_section(false).generate_producers_section(false);
    let mut module = config.parse(wasm).context("read the compiled module")?;
    // For linkers; no browser reads it.
    module.customs.remove_raw("target_features");
    let unused: Vec<_> =
        module.exports.iter().filter(|e| !EXPORTS.contains(&&*e.name)).map(walrus::Export::id).collect();
    for export in unused {
        module.exports.delete(export);
    }
    let mut silenced = 0;
    for function in module.funcs.iter_mut() {
        let panics = function.name.as_ref().is_some_and(|name| PANICS.iter().any(|part| name.contains(part)));
        if let (true, FunctionKind::Local(local)) = (panics, &mut function.kind) {
            let mut body = local.builder_mut().func_body();
            body.instrs_mut().clear();
            body.unreachable();
            silenced += 1;
        }
    }
    ensure!(silenced > 0, "no panicking function has a name: was the module stripped?");
    Ok(module)
}

fn calls_pointers(module: &Module) -> bool {
    struct Search(bool);
    impl Visitor<'_> for Search {
        fn visit_call_indirect(&mut self, _: &CallIndirect) {
            self.0 = true;
        }
        fn visit_return_call_indirect(&mut self, _: &ReturnCallIndirect) {
            self.0 = true;
        }
    }
    let mut search = Search(false);
    for (_, function) in module.funcs.iter_local() {
        dfs_in_order(&mut search, function, function.entry_block());
    }
    search.0
}
