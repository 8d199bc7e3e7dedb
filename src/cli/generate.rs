//! `simbert generate`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Generate {}

impl Generate {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert generate` is not written yet")
    }
}
