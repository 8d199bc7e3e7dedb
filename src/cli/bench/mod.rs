//! `simbert bench`: how fast a model and a server run here, and in which arrangement they run fastest.

mod encode;
mod lone;
mod search;
mod serve;
mod texts;

use clap::{Args, Subcommand};

/// Measure how fast a model, a bank and a server run on this machine.
#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Encode(encode::Encode),
    Search(search::Search),
    Serve(serve::Serve),
}

impl Bench {
    pub fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Encode(args) => args.run(),
            What::Search(args) => args.run(),
            What::Serve(args) => args.run(),
        }
    }
}
