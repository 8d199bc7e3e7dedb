//! The `simbert` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // ONNX Runtime's own builds would name this machine to their makers, and keep an id and a queue in the user's cache.
    // SAFETY: no other thread runs yet that might read the environment.
    unsafe { std::env::set_var(simbert::runtime::DISABLE_TELEMETRY, "1") };
    simbert::cli::main()
}
