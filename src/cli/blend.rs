//! `simbert blend`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::say::say;
use crate::model::{ModelDirectory, Precision, blend};

/// Average the weights of models that were trained from one base.
///
/// The mean of a model and the base that it was fine-tuned from keeps more of what the base could do elsewhere, and
/// often loses nothing in the domain; the mean of two fine-tunings often beats both. The models must have the same
/// config.json and tokenizer.json.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    simbert blend runs/my-domain/model data/model --output runs/my-domain/blended\n  \
    simbert blend a/model b/model --share 3 --share 1 --output three-to-one")]
pub struct Blend {
    /// Model directories, two or more.
    #[arg(value_name = "MODEL_DIR", num_args = 2.., required = true)]
    models: Vec<PathBuf>,
    /// Share of each model, in the order of the models; any numbers, as only their ratio counts. All alike if absent.
    #[arg(long = "share", value_name = "X")]
    shares: Vec<f64>,
    /// Model directory to write; there must be none yet.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Store the weights in 32 bits instead of 16.
    #[arg(long)]
    f32: bool,
}

impl Blend {
    pub fn run(self) -> anyhow::Result<()> {
        let shares = if self.shares.is_empty() { vec![1.0; self.models.len()] } else { self.shares };
        if shares.len() != self.models.len() {
            anyhow::bail!("expected a --share for each of the {} models, received {}", self.models.len(), shares.len());
        }
        let to = ModelDirectory::create(&self.output);
        if to.weights_path().exists() {
            anyhow::bail!("{} holds a model already; name another --output, or remove it", self.output.display());
        }
        let open = |path: &PathBuf| ModelDirectory::open(path);
        let models: Vec<_> =
            self.models.iter().map(open).zip(shares).map(|(m, s)| Ok((m?, s))).collect::<crate::Result<_>>()?;
        blend(&models, &to, if self.f32 { Precision::F32 } else { Precision::F16 })?;
        say!("{}", self.output.display());
        Ok(())
    }
}
