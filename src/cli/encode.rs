//! `simbert encode`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Encode {}

impl Encode {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert encode` is not written yet")
    }
}
