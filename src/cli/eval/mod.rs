//! `simbert eval`: one file for each way to judge.

mod bar;
mod calibrate;
mod faq;
mod generation;
mod kinds;
mod sts;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::say::say;
use crate::eval::Encode;
use crate::runtime::Encoder;

/// Judge a model by labelled files, or fit probabilities to its scores and vectors.
#[derive(Args)]
pub struct Eval {
    #[command(subcommand)]
    by: By,
}

#[derive(Subcommand)]
enum By {
    Sts(sts::StsArgs),
    Faq(faq::FaqArgs),
    Generation(generation::GenerationArgs),
    Calibrate(calibrate::CalibrateArgs),
    Kinds(kinds::KindsArgs),
}

impl Eval {
    pub fn run(self) -> anyhow::Result<()> {
        match self.by {
            By::Sts(args) => args.run(),
            By::Faq(args) => args.run(),
            By::Generation(args) => args.run(),
            By::Calibrate(args) => args.run(),
            By::Kinds(args) => args.run(),
        }
    }
}

fn encode(encoder: &Encoder) -> Box<Encode<'_>> {
    Box::new(|texts| Ok(encoder.encode(texts)?.vectors))
}

/// Prints one line of JSON, or a small table.
fn print(result: &impl Serialize, json: bool, rows: &[(&str, String)]) -> anyhow::Result<()> {
    if json {
        say!("{}", serde_json::to_string(result)?);
        return Ok(());
    }
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        say!("{name:<width$}  {value:>8}");
    }
    Ok(())
}
