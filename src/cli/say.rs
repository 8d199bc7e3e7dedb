//! Lines to standard output, whose reader may have gone.

use std::fmt::Arguments;
use std::io::Write as _;

/// Prints a line; where that cannot be done, the command has failed, and ends.
macro_rules! say {
    ($($line:tt)*) => { $crate::cli::say::line(format_args!($($line)*)) };
}

/// Prints a line for whoever reads along, if anybody does.
macro_rules! note {
    ($($line:tt)*) => { _ = $crate::cli::say::try_line(format_args!($($line)*)) };
}

pub(in crate::cli) use {note, say};

pub fn line(line: Arguments<'_>) {
    if let Err(error) = try_line(line) {
        eprintln!("error: cannot write to standard output: {error}");
        std::process::exit(1);
    }
}

pub fn try_line(line: Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
