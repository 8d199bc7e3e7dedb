//! `simbert train`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::train::{Event, PRESETS, Settings, Start, Trainer, best_device};

/// Train a SimBERT on groups of similar questions.
///
/// CONFIG.toml names the base model, the pairs, the optimiser and the folder of the run. The run leaves a checkpoint
/// that resumes to the same losses, `log.jsonl` with a line for each step, `loss.svg`, `samples.txt`, and the finished
/// model directory in `model/`. Ctrl-C saves a checkpoint first.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert train my-domain.toml\n  simbert train my-domain.toml --resume\n\n\
    For a CONFIG.toml to start from see `data/tutorial/train.toml`. Pairs come as JSON Lines,\n\
    {\"text\": \"…\", \"synonyms\": [\"…\", …]}, or as TSV with two sentences a line.")]
pub struct Train {
    /// The run's settings, in TOML; relative paths start at its folder.
    config: PathBuf,
    /// Start from these settings, over which those of CONFIG.toml are laid. `reference`: the published run of SimBERT.
    #[arg(long, value_name = "NAME", value_parser = presets())]
    preset: Option<String>,
    /// Go on from the run's checkpoint.
    #[arg(long, conflicts_with = "restart")]
    resume: bool,
    /// Forget the run's checkpoint and start afresh.
    #[arg(long)]
    restart: bool,
    /// Stop after step N and write the model as it stands then, the schedule being that of the whole run.
    #[arg(long, value_name = "N")]
    stop_after: Option<u64>,
    /// Train on the CPU even where there is a CUDA device.
    #[arg(long)]
    cpu: bool,
    /// CPU threads; 0 means one for each core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print a line of JSON for each step instead of a progress bar.
    #[arg(long)]
    json: bool,
}

impl Train {
    pub fn run(self) -> anyhow::Result<()> {
        let settings = Settings::from_file_over(&self.config, self.preset.as_deref())?;
        let start = match (self.resume, self.restart) {
            (true, _) => Start::Resume,
            (_, true) => Start::Restart,
            _ => Start::Fresh,
        };
        rayon::ThreadPoolBuilder::new().num_threads(self.threads).build_global()?;
        let device = best_device(self.cpu)?;
        let steps = settings.optimizer.steps;
        let trainer = Trainer::open(settings, start, &device)?;
        let stop = super::interrupt::watch()?;
        let bar = if self.json { ProgressBar::hidden() } else { ProgressBar::new(steps) };
        bar.set_style(ProgressStyle::with_template(
            "{elapsed_precise} {bar:24} {pos}/{len} steps, {eta_precise} left · {msg}",
        )?);
        let (mut speed, mut read) = (Speed::default(), true);
        let outcome = trainer.run(self.stop_after, |event| {
            match event {
                Event::Begin { groups, excluded, parameters, started, step } => {
                    bar.set_position(step);
                    bar.reset_eta();
                    let note = |line: String| if self.json { eprintln!("{line}") } else { bar.println(line) };
                    let place = if device.is_cpu() { "the CPU" } else { "CUDA" };
                    note(format!("{parameters} parameters on {place}, {groups} groups, {excluded} left out"));
                    if !started.is_empty() {
                        note(format!("the base has no {}: started as identity, ones or zeros", started.join(", ")));
                    }
                }
                Event::Teacher { done, texts } => {
                    if done == texts {
                        bar.set_length(steps);
                        bar.reset();
                    } else {
                        bar.set_length(texts as u64);
                        bar.set_position(done as u64);
                        bar.set_message("sentences for the teacher");
                    }
                }
                Event::Step(report) => {
                    if self.json {
                        let line = serde_json::to_string(report).unwrap_or_default();
                        read &= writeln!(std::io::stdout(), "{line}").is_ok();
                    }
                    bar.set_position(report.step);
                    bar.set_message(format!(
                        "generation {:.3}, similarity {:.3},{} {:.0} tokens/s",
                        report.generation_loss,
                        report.similarity_loss,
                        report.ranking_loss.map_or_else(String::new, |loss| format!(" ranking {loss:.3},")),
                        speed.update(report.tokens, report.seconds),
                    ));
                    for (name, score) in &report.dev {
                        bar.println(format!("step {}: {name} {score:.2}", report.step));
                    }
                }
                Event::Samples { step, samples } => {
                    for (question, generated) in samples {
                        bar.println(format!("step {step}: {question} → {}", generated.join(" | ")));
                    }
                }
                Event::Checkpoint { .. } => {}
            }
            read && !stop.load(Ordering::Relaxed)
        })?;
        bar.finish_and_clear();
        if !read {
            anyhow::bail!("nobody reads the steps any more; `--resume` goes on from step {}", outcome.steps);
        }
        let Some(model) = outcome.model else {
            anyhow::bail!("stopped after step {}; `--resume` goes on from there", outcome.steps);
        };
        eprintln!(
            "{} steps, {:.0} tokens/s; the model is in {}; `simbert export` makes it servable",
            outcome.steps,
            outcome.tokens_per_second,
            model.display()
        );
        Ok(())
    }
}

/// The names of the presets, for the help text, for errors and for shell completion.
fn presets() -> clap::builder::PossibleValuesParser {
    PRESETS.map(|(name, _)| name).into()
}

/// A running mean of tokens per second.
#[derive(Default)]
struct Speed {
    tokens: f64,
    seconds: f64,
}

impl Speed {
    /// Weight of what was before, at each step.
    const KEEP: f64 = 0.9;

    fn update(&mut self, tokens: usize, seconds: f64) -> f64 {
        self.tokens = self.tokens * Self::KEEP + tokens as f64;
        self.seconds = self.seconds * Self::KEEP + seconds;
        self.tokens / self.seconds.max(f64::MIN_POSITIVE)
    }
}
