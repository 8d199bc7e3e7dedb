//! `simbert expand`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Expand {}

impl Expand {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert expand` is not written yet")
    }
}
