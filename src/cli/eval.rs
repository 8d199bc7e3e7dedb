//! `simbert eval`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::ModelArgs;
use crate::eval::{self, Encode, Faq, Paraphrase, Step, Sts};
use crate::generate::{GenerateRequest, Paraphraser, Sampling};
use crate::runtime::{Decoder, Encoder};

/// Judge a model by labelled files.
#[derive(Args)]
pub struct Eval {
    #[command(subcommand)]
    by: By,
}

#[derive(Subcommand)]
enum By {
    Sts(StsArgs),
    Faq(FaqArgs),
}

/// Compare the cosines of sentence pairs with their labels.
///
/// Prints Spearman's rank correlation × 100. FILE.tsv holds `sentence, sentence, label` with tabs between them; the
/// labels are 0 and 1, or any numbers that grow with similarity. There is no quoting, and a header row is skipped.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert eval sts lcqmc.tsv\n  simbert eval sts stsb.tsv --model my-model --json")]
struct StsArgs {
    /// The labelled pairs.
    #[arg(value_name = "FILE.tsv")]
    file: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Print one line of JSON: {"pairs":…,"spearman":…}.
    #[arg(long)]
    json: bool,
}

/// Look users' queries up among standard questions, and see whether the right one is found.
///
/// Every query is compared with every standard question. Prints recall at 1 and at 10 and the mean reciprocal rank
/// within the first 10, all between 0 and 1. The files have tabs between their fields and no quoting; a header row is
/// skipped. Several standard questions may share one id: the first hit with the right id counts.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    simbert eval faq --standard data/faq/standard.tsv --query data/faq/queries.tsv\n  \
    simbert eval faq --standard S.tsv --query Q.tsv --model my-model --expand 8 --json")]
struct FaqArgs {
    /// Standard questions: `id, question`; further fields, such as an answer, are passed over.
    #[arg(long, value_name = "S.tsv")]
    standard: PathBuf,
    /// Users' queries: `question, id`.
    #[arg(long, value_name = "Q.tsv")]
    query: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Also search with up to N generated paraphrases of each query, and fuse the rankings.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    expand: Option<u16>,
    /// Print one line of JSON: {"queries":…,"recall_at_1":…,"recall_at_10":…,"mrr_at_10":…}.
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub fn run(self) -> anyhow::Result<()> {
        match self.by {
            By::Sts(args) => args.run(),
            By::Faq(args) => args.run(),
        }
    }
}

impl StsArgs {
    fn run(self) -> anyhow::Result<()> {
        let encoder = Encoder::open(&self.model.directory()?, &self.model.runtime())?;
        let mut bar = Bar::default();
        let sts = eval::sts(&self.file, &encode(&encoder), &mut |step| bar.step(step))?;
        drop(bar);
        let Sts { pairs, spearman } = sts;
        print(&sts, self.json, &[("pairs", pairs.to_string()), ("Spearman × 100", format!("{spearman:.2}"))])
    }
}

impl FaqArgs {
    fn run(self) -> anyhow::Result<()> {
        let (directory, options) = (self.model.directory()?, self.model.runtime());
        let mut bar = Bar::default();
        let mut judge = |encoder: &Encoder, paraphrase: Option<&Paraphrase>| {
            eval::faq(&self.standard, &self.query, &encode(encoder), paraphrase, &mut |step| bar.step(step))
        };
        let encoder = Arc::new(Encoder::open(&directory, &options)?);
        let faq = match self.expand {
            None => judge(&encoder, None)?,
            Some(phrases) => {
                let decoder = Arc::new(Decoder::open(&directory, &options)?);
                let paraphraser = Paraphraser::new(Arc::clone(&encoder), decoder)?;
                let paraphrase = |text: &str| paraphrases(&paraphraser, text, phrases.into());
                judge(&encoder, Some(&paraphrase))?
            }
        };
        drop(bar);
        let Faq { queries, recall_at_1, recall_at_10, mrr_at_10 } = faq;
        let rows = [
            ("queries", queries.to_string()),
            ("recall@1", format!("{recall_at_1:.4}")),
            ("recall@10", format!("{recall_at_10:.4}")),
            ("MRR@10", format!("{mrr_at_10:.4}")),
        ];
        print(&faq, self.json, &rows)
    }
}

fn encode(encoder: &Encoder) -> Box<Encode<'_>> {
    Box::new(|texts| Ok(encoder.encode(texts)?.vectors))
}

/// Up to `phrases` similar questions, out of four times as many samples; none to a blank text.
fn paraphrases(paraphraser: &Paraphraser, text: &str, phrases: usize) -> crate::Result<Vec<String>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let sampling = Sampling { samples: (4 * phrases).max(32), ..Sampling::default() };
    let request = GenerateRequest { text: text.to_owned(), k: phrases, sampling, min_score: None };
    Ok(paraphraser.generate(&request)?.into_iter().map(|paraphrase| paraphrase.text).collect())
}

/// Prints one line of JSON, or a small table.
fn print(result: &impl Serialize, json: bool, rows: &[(&str, String)]) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(result)?);
        return Ok(());
    }
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        println!("{name:<width$}  {value:>8}");
    }
    Ok(())
}

/// A progress bar on standard error, if that is a terminal, once the work has taken a second.
struct Bar {
    bar: ProgressBar,
    stage: &'static str,
    start: Instant,
}

impl Default for Bar {
    fn default() -> Self {
        Self { bar: ProgressBar::hidden(), stage: "", start: Instant::now() }
    }
}

impl Bar {
    const PATIENCE: Duration = Duration::from_secs(1);

    fn step(&mut self, step: Step) {
        if self.stage != step.stage {
            self.bar.finish_and_clear();
            self.stage = step.stage;
            self.bar = ProgressBar::with_draw_target(Some(step.total), ProgressDrawTarget::hidden());
            // The template is a constant that `with_template` accepts; a plain bar would do as well.
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len}, {eta} left") {
                self.bar.set_style(style);
            }
            self.bar.set_prefix(step.stage);
        }
        self.bar.set_position(step.done);
        if self.bar.is_hidden() && self.start.elapsed() > Self::PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
