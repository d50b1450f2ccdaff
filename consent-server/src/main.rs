//! The `consent` binary: see `consent --help`.

use std::process::ExitCode;

/// musl's own allocator has one lock for all threads. glibc's has not, and needs no other beside it.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    consent_server::cli::main()
}
