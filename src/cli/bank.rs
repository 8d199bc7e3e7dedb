//! `simbert bank`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Bank {}

impl Bank {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert bank` is not written yet")
    }
}
