//! `simbert expand`.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::open::{self, BankArgs};
use super::search::LookupArgs;
use super::{ModelArgs, hits};
use crate::engine::{ExpandRequest, FILTER_SYNTAX, Fusion};
use crate::generate::Sampling;

/// Find questions with QUERY and with generated paraphrases of it.
///
/// The model writes questions similar to QUERY, each is searched for, and the rankings become one. Finds what is asked
/// in other words, at the price of writing them.
#[derive(Args)]
#[command(after_help = format!("{FILTER_SYNTAX}\n\nExamples:\n  simbert expand --bank faq 卡丢了怎么办\n  \
    simbert expand --bank faq 如何退款 --phrases 5 --fusion max --json"))]
pub struct Expand {
    /// What is asked.
    query: String,
    #[command(flatten)]
    bank: BankArgs,
    #[command(flatten)]
    lookup: LookupArgs,
    /// Most paraphrases to search with, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 10)]
    phrases: usize,
    /// How the rankings become one.
    #[arg(long, value_enum, default_value_t = FusionName::Rrf)]
    fusion: FusionName,
    /// How many samples to draw, 1 to 1000.
    #[arg(short = 'n', long, value_name = "N", default_value_t = Sampling::default().samples)]
    samples: usize,
    /// Same seed, same paraphrases.
    #[arg(long, value_name = "SEED", default_value_t = Sampling::default().seed)]
    seed: u64,
    /// Print one JSON object: {"hits": […], "phrases": […], "timings": {…}}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// [`Fusion`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FusionName {
    /// Reciprocal ranks, added up: what many phrases find goes first.
    Rrf,
    /// The highest cosine with any phrase.
    Max,
}

impl Expand {
    pub fn run(self) -> anyhow::Result<()> {
        let request = ExpandRequest {
            search: self.lookup.request(self.query)?,
            phrases: self.phrases,
            sampling: Sampling { samples: self.samples, seed: self.seed, ..Sampling::default() },
            fusion: match self.fusion {
                FusionName::Rrf => Fusion::ReciprocalRank { k: 60.0 },
                FusionName::Max => Fusion::MaximumScore,
            },
        };
        request.check()?; // before the model is loaded
        request.sampling.validate()?;
        let engine = open::engine(&self.bank.data, &self.model)?;
        let found = open::bank(&engine, &self.bank.bank)?.expand(&request)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            let found_hits = found.hits.iter().map(hits::json).collect::<anyhow::Result<Vec<_>>>()?;
            let timings = hits::json_timings(&found.timings);
            writeln!(out, "{}", json!({"hits": found_hits, "phrases": found.phrases, "timings": timings}))?;
            return Ok(());
        }
        for phrase in &found.phrases {
            writeln!(out, "  ~  {:.4}  {}", phrase.score, phrase.text)?;
        }
        hits::print(&mut out, &found.hits, true)?;
        if found.hits.is_empty() {
            eprintln!("nothing was found; widen `--filter`, or lower `--min-score` or `--min-probability`");
        }
        Ok(())
    }
}
