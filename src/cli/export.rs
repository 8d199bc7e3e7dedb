//! `simbert export`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;

use crate::cli::say::say;
use crate::model::{Arithmetic, ModelDirectory};
use crate::onnx::export;

/// Export a model directory to ONNX, so that it can be served.
///
/// Reads config.json, tokenizer.json and model.safetensors; writes encoder.onnx, decoder.onnx and the weights.bin that
/// both refer to, in f32. A model without a language-model head gets no decoder.onnx: it encodes, but does not
/// generate. The graphs remember the weights, the tokenizer and the pooling they were made from; after a change to any
/// of them, export again.
///
/// With --int8 it writes encoder.int8.onnx, decoder.int8.onnx and weights.int8.bin instead, for commands that are given
/// --int8. Both kinds may lie side by side. `simbert eval sts` and `simbert eval faq` tell what it costs.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert export runs/my-domain/model\n  simbert export --int8 data/model")]
pub struct Export {
    /// Model directory: config.json, tokenizer.json and model.safetensors.
    #[arg(value_name = "MODEL_DIR", env = "SIMBERT_MODEL", default_value = "data/model")]
    model: PathBuf,
    /// Write graphs in 8-bit integers.
    #[arg(long)]
    int8: bool,
}

impl Export {
    pub fn run(self) -> anyhow::Result<()> {
        let arithmetic = if self.int8 { Arithmetic::Int8 } else { Arithmetic::F32 };
        let directory = ModelDirectory::open(&self.model)?.with_arithmetic(arithmetic);
        let spinner = ProgressBar::new_spinner().with_message("writing the ONNX graphs");
        spinner.enable_steady_tick(Duration::from_millis(100));
        let done = export(&directory)?;
        spinner.finish_and_clear();
        for file in &done.files {
            say!("{} ({:.1} MB)", file.display(), std::fs::metadata(file)?.len() as f64 / 1e6);
        }
        if !done.decoder {
            eprintln!("no decoder: model.safetensors has no language-model head (`cls.predictions` weights)");
        }
        Ok(())
    }
}
