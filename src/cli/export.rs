//! `simbert export`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Export {}

impl Export {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert export` is not written yet")
    }
}
