//! The `simbert` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    simbert::cli::main()
}
