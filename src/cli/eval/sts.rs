//! `simbert eval sts`.

use std::path::PathBuf;

use clap::Args;

use super::bar::Bar;
use super::{encode, print};
use crate::cli::ModelArgs;
use crate::eval::{self, Sts};
use crate::runtime::Encoder;

/// Compare the cosines of sentence pairs with their labels.
///
/// Prints Spearman's rank correlation × 100. FILE.tsv holds `sentence, sentence, label` with tabs between them; the
/// labels are 0 and 1, or any numbers that grow with similarity. There is no quoting, and a header row is skipped.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert eval sts lcqmc.tsv\n  simbert eval sts stsb.tsv --model my-model --json")]
pub struct StsArgs {
    /// The labelled pairs.
    #[arg(value_name = "FILE.tsv")]
    file: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Print one line of JSON: {"pairs":…,"spearman":…}.
    #[arg(long)]
    json: bool,
}

impl StsArgs {
    pub fn run(self) -> anyhow::Result<()> {
        let encoder = Encoder::open(&self.model.directory()?, &self.model.runtime())?;
        let mut bar = Bar::default();
        let sts = eval::sts(&self.file, &encode(&encoder), &mut |step| bar.step(step))?;
        drop(bar);
        let Sts { pairs, spearman } = sts;
        print(&sts, self.json, &[("pairs", pairs.to_string()), ("Spearman × 100", format!("{spearman:.2}"))])
    }
}
