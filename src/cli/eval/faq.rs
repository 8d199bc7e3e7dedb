//! `simbert eval faq`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::bar::Bar;
use super::{encode, print};
use crate::cli::ModelArgs;
use crate::eval::{self, Faq, Paraphrase};
use crate::generate::{GenerateRequest, Paraphraser, Sampling};
use crate::runtime::Encoder;

/// Look users' queries up among standard questions, and see whether the right one is found.
///
/// Every query is compared with every standard question. Prints recall at 1 and at 10 and the mean reciprocal rank
/// within the first 10, all between 0 and 1. The files have tabs between their fields and no quoting; a header row is
/// skipped. Several standard questions may share one id: the first hit with the right id counts.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    simbert eval faq --standard data/faq/standard.tsv --query data/faq/queries.tsv\n  \
    simbert eval faq --standard S.tsv --query Q.tsv --model my-model --expand 8 --json")]
pub struct FaqArgs {
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

impl FaqArgs {
    pub fn run(self) -> anyhow::Result<()> {
        let (directory, options) = (self.model.directory()?, self.model.runtime());
        let mut bar = Bar::default();
        let mut judge = |encoder: &Encoder, paraphrase: Option<&Paraphrase>| {
            eval::faq(&self.standard, &self.query, &encode(encoder), paraphrase, &mut |step| bar.step(step))
        };
        let encoder = Arc::new(Encoder::open(&directory, &options)?);
        let faq = match self.expand {
            None => judge(&encoder, None)?,
            Some(phrases) => {
                let paraphraser = Paraphraser::open_beside(Arc::clone(&encoder), &directory, &options)?;
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

/// Up to `phrases` similar questions, out of four times as many samples; none to a blank text.
fn paraphrases(paraphraser: &Paraphraser, text: &str, phrases: usize) -> crate::Result<Vec<String>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let sampling = Sampling { samples: (4 * phrases).max(32), ..Sampling::default() };
    let request = GenerateRequest { text: text.to_owned(), k: phrases, sampling, min_score: None };
    Ok(paraphraser.generate(&request)?.into_iter().map(|paraphrase| paraphrase.text).collect())
}
