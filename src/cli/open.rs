//! How commands open the engine and a bank.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{DataArgs, ModelArgs};
use crate::engine::{Bank, BankName, Engine, EngineOptions};
use crate::store::Banks;

/// The bank that a command works on.
#[derive(Args, Debug, Clone)]
pub struct BankArgs {
    /// The bank.
    #[arg(long, value_name = "NAME", env = "SIMBERT_BANK", value_parser = parse_name)]
    pub bank: BankName,
    #[command(flatten)]
    pub data: DataArgs,
}

/// Reads a bank's name from the command line.
pub fn parse_name(text: &str) -> crate::Result<BankName> {
    BankName::new(text)
}

/// The engine with its model, for one command: no graph is linked, exact search serves.
pub fn engine(data: &DataArgs, model: &ModelArgs) -> crate::Result<Engine> {
    model.limit_threads();
    let engine = Engine::open(EngineOptions {
        data: data.data.clone(),
        model: model.directory()?.root().to_owned(),
        arithmetic: model.arithmetic(),
        onnxruntime: model.onnxruntime.clone(),
        threads: model.threads,
        cache_bytes: 0,
    })?;
    Ok(engine.without_graphs())
}

/// Opens a bank, under a progress bar.
pub fn bank(engine: &Engine, name: &BankName) -> anyhow::Result<Bank> {
    let bar = bar("questions read")?;
    let bank = engine.bank_with_progress(name, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(bank?)
}

/// Opens a bank without its model, for what encodes nothing.
pub fn bank_without_model(data: &Path, name: &BankName) -> anyhow::Result<Bank> {
    let facts = Banks::open(data)?.facts(name.as_str())?;
    bank(&Engine::without_model(data, &facts.model_fingerprint, facts.dimension)?, name)
}

/// A bar on standard error, hidden where that is no terminal.
pub fn bar(what: &'static str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template(
        "{elapsed_precise} {bar:24} {human_pos} of {human_len} {msg}, {per_sec:.0}, {eta_precise} left",
    )?;
    let bar = ProgressBar::new(0).with_style(style).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
