//! The `consent` binary: see `consent --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    consent_server::cli::main()
}
