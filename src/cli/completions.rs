//! `simbert completions`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Completions {}

impl Completions {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert completions` is not written yet")
    }
}
