//! `simbert index`.

use clap::Args;

/// Not written yet.
#[derive(Args)]
pub struct Index {}

impl Index {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("`simbert index` is not written yet")
    }
}
