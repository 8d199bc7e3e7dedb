//! `simbert eval generation`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::bar::Bar;
use super::print;
use crate::cli::ModelArgs;
use crate::cli::sampling::SamplingArgs;
use crate::eval::{self, Example, Generation, SentenceRules, WordList};
use crate::generate::{Paraphraser, Sampling};

const PARTICLES: &str = include_str!("../../../data/generation/particles.txt");
const QUESTION_WORDS: &str = include_str!("../../../data/generation/question-words.txt");

/// Write sentences similar to those of a file, and see whether they are varied, similar, and of the right kind.
///
/// For each sentence of the file, generates and ranks as `simbert generate` and the server do, and prints over all of
/// them: how many sentences came back; the share that is distinct but for width, case, spaces and punctuation;
/// self-BLEU (1 to 4 characters, no smoothing; lower is more varied); the mean cosine with the input; the share that
/// differs from the input by punctuation or particles alone; the share of the labelled paraphrases that came back, and
/// how near the nearest sentence came to each (F1 of character bigrams), beside what the input itself scores; the
/// share that is of the input's kind, for statements and for questions; and the time. With --written, what another
/// program wrote is ranked and judged in the place of the model's samples. A bar in the table is what a
/// model should reach with 100 samples and -k 20.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    simbert eval generation data/generation/questions.tsv data/generation/statements.tsv\n  \
    simbert eval generation groups.jsonl --model my-model --top-k 0 --temperature 0.8 --json")]
pub struct GenerationArgs {
    /// Sentences to write from: .tsv of `sentence, paraphrase, …`, .jsonl of {"text": …, "synonyms": […]}, or plain lines.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Judge the sentences of this file instead: lines of {"text": …, "written": […]}, one for each sentence.
    #[arg(long, value_name = "FILE")]
    written: Option<PathBuf>,
    /// Words that make no other wording, one a line; Chinese and English ones when absent.
    #[arg(long, value_name = "FILE")]
    particles: Option<PathBuf>,
    /// Words that make a sentence a question, one a line; Chinese and English ones when absent.
    #[arg(long, value_name = "FILE")]
    question_words: Option<PathBuf>,
    /// Print one line of JSON: {"inputs":…,"distinct":…,"self_bleu":…,"similarity":…, …}.
    #[arg(long)]
    json: bool,
}

/// The measures and what they were taken with.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    generation: Generation,
    k: usize,
    min_score: Option<f32>,
    #[serde(flatten)]
    sampling: Sampling,
}

impl GenerationArgs {
    pub fn run(self) -> anyhow::Result<()> {
        // All that may be wrong is looked at before the model is loaded.
        let rules = SentenceRules {
            particles: list(self.particles.as_ref(), PARTICLES)?,
            question_words: list(self.question_words.as_ref(), QUESTION_WORDS)?,
        };
        let mut examples: Vec<Example> = Vec::new();
        for file in &self.files {
            examples.extend(eval::read_examples(file)?);
        }
        examples.first().map_or(Ok(()), |example| self.sampling.request(&example.text).validate())?;
        let written = self.written.as_deref().map(|file| eval::read_written(file, &examples)).transpose()?;
        let paraphraser = Paraphraser::open(&self.model.directory()?, &self.model.runtime())?;
        let rewrite = |text: &str| {
            let request = self.sampling.request(text);
            match &written {
                Some(written) => paraphraser.choose(&written[text], &request), // there for each example
                None => paraphraser.generate(&request),
            }
        };
        let mut bar = Bar::default();
        let generation = eval::generation(&examples, &rewrite, &rules, &mut |step| bar.step(step))?;
        drop(bar);
        let SamplingArgs { k, min_score, .. } = self.sampling;
        let report = Report { generation, k, min_score, sampling: self.sampling.sampling() };
        print(&report, self.json, &rows(&generation))
    }
}

fn list(file: Option<&PathBuf>, bundled: &str) -> crate::Result<WordList> {
    file.map_or_else(|| WordList::parse("bundled list", bundled), WordList::read)
}

fn rows(generation: &Generation) -> Vec<(&'static str, String)> {
    let Generation {
        inputs,
        questions,
        returned,
        distinct,
        self_bleu,
        similarity,
        copy_rate,
        labelled,
        coverage,
        soft_coverage,
        soft_coverage_of_inputs,
        statements_kept,
        questions_kept,
        seconds_per_input,
    } = *generation;
    let share = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
    vec![
        ("inputs", inputs.to_string()),
        ("  questions among them", questions.to_string()),
        ("returned for each", format!("{returned:.2}")),
        ("distinct (bar: at least 0.90)", share(distinct)),
        ("self-BLEU", share(self_bleu)),
        ("mean cosine (bar: at least 0.80)", share(similarity)),
        ("copy rate (bar: at most 0.25)", share(copy_rate)),
        ("labelled paraphrases", labelled.to_string()),
        ("  returned", share(coverage)),
        ("  bigram F1 of the nearest", share(soft_coverage)),
        ("  bigram F1 of the input", share(soft_coverage_of_inputs)),
        ("statements stay so (bar: at least 0.90)", share(statements_kept)),
        ("questions stay so", share(questions_kept)),
        ("seconds for each input", format!("{seconds_per_input:.3}")),
    ]
}
