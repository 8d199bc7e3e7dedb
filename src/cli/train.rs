//! `simbert train`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Train {}

impl Train {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert train` is not written yet")
    }
}
