//! `simbert eval`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Eval {}

impl Eval {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert eval` is not written yet")
    }
}
