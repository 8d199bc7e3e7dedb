//! `simbert serve`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Serve {}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert serve` is not written yet")
    }
}
