//! `simbert generate`.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;

use super::ModelArgs;
use crate::generate::{GenerateRequest, Paraphraser, Sampling};

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
    /// How many questions to print at most.
    #[arg(short, value_name = "N", default_value_t = 20)]
    k: usize,
    /// How many samples to draw, 1 to 1000.
    #[arg(short = 'n', long, value_name = "N", default_value_t = Sampling::default().samples)]
    samples: usize,
    /// Most new tokens of a sample.
    #[arg(long, value_name = "N", default_value_t = Sampling::default().max_tokens)]
    max_tokens: usize,
    /// Divides the logits: below 1 bolder choices are rarer, above 1 they are more frequent.
    #[arg(long, value_name = "T", default_value_t = Sampling::default().temperature)]
    temperature: f32,
    /// Draw among the K likeliest tokens only; 0 means all.
    #[arg(long, value_name = "K", default_value_t = Sampling::default().top_k)]
    top_k: usize,
    /// Draw among the likeliest tokens whose probabilities reach P; 1 means all.
    #[arg(long, value_name = "P", default_value_t = Sampling::default().top_p)]
    top_p: f32,
    /// Same seed, same questions.
    #[arg(long, value_name = "SEED", default_value_t = Sampling::default().seed)]
    seed: u64,
    /// Leave out questions with a lower cosine, −1 to 1.
    #[arg(long, value_name = "COSINE", allow_negative_numbers = true)]
    min_score: Option<f32>,
    /// Print a line of JSON for each question: {"text": …, "score": …}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

impl Generate {
    pub fn run(self) -> anyhow::Result<()> {
        let request = GenerateRequest {
            text: self.text,
            k: self.k,
            sampling: Sampling {
                samples: self.samples,
                max_tokens: self.max_tokens,
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                seed: self.seed,
            },
            min_score: self.min_score,
        };
        request.validate()?; // before the model is loaded
        let spinner = ProgressBar::new_spinner().with_message(format!("drawing {} samples", self.samples));
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
