//! `simbert generate`.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;

use super::ModelArgs;
use super::sampling::SamplingArgs;
use crate::generate::Paraphraser;

/// Write questions similar to TEXT, best first.
///
/// Draws samples from the decoder half of the model, drops blanks, repetitions and TEXT itself, and ranks the rest by
/// the cosine of their sentence vectors with TEXT's. A higher temperature or top-p gives more variety and more
/// nonsense; more samples find more good ones.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert generate 怎么开初婚未育证明\n  \
    simbert generate 微信和支付宝哪个好 -k 5 -n 200 --temperature 0.9\n  \
    simbert generate 如何退款 --min-score 0.8 --json")]
pub struct Generate {
    /// The question to paraphrase.
    text: String,
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
        let request = self.sampling.request(&self.text);
        request.validate()?; // before the model is loaded
        let spinner = ProgressBar::new_spinner().with_message(format!("drawing {} samples", self.sampling.samples));
        spinner.enable_steady_tick(Duration::from_millis(100));
        let paraphraser = Paraphraser::open(&self.model.directory()?, &self.model.runtime())?;
        let found = paraphraser.generate(&request)?;
        spinner.finish_and_clear();
        let mut out = std::io::stdout().lock();
        for paraphrase in &found {
            if self.json {
                let line = serde_json::json!({"text": paraphrase.text, "score": paraphrase.score});
                writeln!(out, "{line}")?;
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
