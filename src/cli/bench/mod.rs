//! `simbert bench`: how fast a model runs here, and in which arrangement it runs fastest.

mod encode;
mod lone;

use clap::{Args, Subcommand};

/// Measure how fast a model runs on this machine.
#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Encode(encode::Encode),
}

impl Bench {
    pub fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Encode(args) => args.run(),
        }
    }
}
