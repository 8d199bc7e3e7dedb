//! `simbert eval kinds`.

use std::path::PathBuf;

use clap::Args;

use super::bar::Bar;
use super::{encode, print};
use crate::cli::ModelArgs;
use crate::cli::say::say;
use crate::eval::{self, KindsFound};
use crate::model::{Kinds, KindsFitted};
use crate::runtime::Encoder;

/// Fit what tells questions from other sentences, so that generated ones stay what their input is.
///
/// From sentences of any language whose closing mark says what they are: a question mark, or a full stop or an
/// exclamation mark. Lines without a mark are passed over, and the encoder does not see the marks. Writes `kinds.json`
/// into the model directory, from where the paraphraser takes it; it belongs to this model and no other, and one file
/// serves it in f32 and int8. The printed figures are of each fifth line, by a fit to the rest.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert eval kinds sentences.txt\n  \
    simbert eval kinds sentences.txt --except data/generation/questions.tsv --except data/generation/statements.tsv")]
pub struct KindsArgs {
    /// Sentences, one a line.
    #[arg(value_name = "FILE.txt")]
    file: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Fit to up to N lines, half of them questions, spread evenly over the file.
    #[arg(long, value_name = "N", default_value_t = 6000)]
    lines: usize,
    /// Leave out the sentences of a file that generation will be judged by, as `simbert eval generation` reads it.
    #[arg(long, value_name = "FILE")]
    except: Vec<PathBuf>,
    /// Write here instead of into the model directory.
    #[arg(long, value_name = "FILE.json")]
    output: Option<PathBuf>,
    /// Print one line of JSON: {"lines":…,"held_out":…,"accuracy":…,"log_loss":…}.
    #[arg(long)]
    json: bool,
}

impl KindsArgs {
    pub fn run(self) -> anyhow::Result<()> {
        // All that may be wrong is looked at before the model is loaded.
        let lines = eval::read_kind_lines(&self.file, self.lines, &self.except)?;
        let directory = self.model.directory()?;
        let encoder = Encoder::open(&directory, &self.model.runtime())?;
        let mut bar = Bar::default();
        let found = eval::fit_kinds(&lines, &encode(&encoder), &mut |step| bar.step(step))?;
        drop(bar);
        let KindsFound { lines, held_out, accuracy, log_loss, ref probe } = found;
        let file = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rounded = |figure: f64| (figure * 1e4).round() / 1e4;
        let fitted = KindsFitted { lines, accuracy: rounded(accuracy), log_loss: rounded(log_loss), file };
        let path = self.output.unwrap_or_else(|| directory.kinds_path());
        Kinds::new(directory.kinds_fingerprint()?, probe.clone(), fitted).write(&path)?;
        let rows = [
            ("lines", lines.to_string()),
            ("held out", held_out.to_string()),
            ("  told right", format!("{accuracy:.4}")),
            ("  log loss", format!("{log_loss:.4}")),
        ];
        print(&found, self.json, &rows)?;
        if !self.json {
            say!("\nwrote {}", path.display());
        }
        Ok(())
    }
}
