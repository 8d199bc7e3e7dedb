//! `simbert generate`.

mod file;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;

use super::ModelArgs;
use super::index::FormatName;
use super::sampling::SamplingArgs;
use crate::generate::Paraphraser;

/// Write questions similar to TEXT, best first, or to every question of a file.
///
/// Draws samples from the decoder half of the model, drops blanks, repetitions and TEXT itself, and ranks the rest by
/// the cosine of their sentence vectors with TEXT's. With a model that can tell (`simbert eval kinds`), what is a question
/// where TEXT is none, or none where TEXT is one, is dropped. A higher temperature or top-p gives more variety and more
/// nonsense; more samples find more good ones.
///
/// With `--file`, a line of JSON is written for each question: {"id": …, "text": …, "paraphrases": [{"text": …, "score":
/// …}, …]}, or with "error" for one that failed. A run that was stopped goes on where it was when it is started again with
/// the same `--output`.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert generate 怎么开初婚未育证明\n  \
    simbert generate 微信和支付宝哪个好 -k 5 -n 200 --temperature 0.9\n  \
    simbert generate 如何退款 --min-score 0.8 --json\n  \
    simbert generate --file questions.csv --output similar.jsonl -k 5")]
pub struct Generate {
    /// The question to paraphrase.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    text: Option<String>,
    /// Write for all questions of FILE: CSV, TSV, JSON Lines or plain text, as `simbert index` reads them.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Format of FILE; by its extension when absent.
    #[arg(long, value_enum, value_name = "FORMAT", requires = "file")]
    format: Option<FormatName>,
    /// Write the lines to this file, after those that it has; to standard output when absent.
    #[arg(short, long, value_name = "FILE", requires = "file")]
    output: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Print a line of JSON for each question: {"text": …, "score": …}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

impl Generate {
    pub fn run(self) -> anyhow::Result<()> {
        match (&self.text, &self.file) {
            (Some(text), _) => self.one(text),
            (None, Some(questions)) => {
                self.sampling.sampling().validate()?; // before anything is read
                let format = self.format.map(Into::into);
                let bank = file::Bank::open(questions, format, self.output.as_deref())?;
                let open = || Ok(Paraphraser::open(&self.model.directory()?, &self.model.runtime())?);
                bank.write(open, &self.sampling)
            }
            (None, None) => anyhow::bail!("expected a text or `--file`"), // clap has asked for one
        }
    }

    fn one(&self, text: &str) -> anyhow::Result<()> {
        let request = self.sampling.request(text);
        request.validate()?; // before the model is loaded
        let spinner = ProgressBar::new_spinner().with_message(format!("drawing {} samples", self.sampling.samples));
        spinner.enable_steady_tick(Duration::from_millis(100));
        let paraphraser = Paraphraser::open(&self.model.directory()?, &self.model.runtime())?;
        let found = paraphraser.generate(&request)?;
        spinner.finish_and_clear();
        let mut out = std::io::stdout().lock();
        for paraphrase in &found {
            if self.json {
                writeln!(out, "{}", serde_json::json!(paraphrase))?;
            } else {
                writeln!(out, "{:.4}  {}", paraphrase.score, paraphrase.text)?;
            }
        }
        if found.is_empty() {
            eprintln!("no sample was left; draw more with `--samples`, or lower `--min-score`");
        }
        Ok(())
    }
}
