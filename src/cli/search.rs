//! `simbert search`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Search {}

impl Search {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert search` is not written yet")
    }
}
