//! `simbert demo`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Demo {}

impl Demo {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert demo` is not written yet")
    }
}
