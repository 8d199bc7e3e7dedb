//! The command line: one file per command.
//!
//! Exit codes: 0 done, 1 it failed, 2 the command line is wrong.

mod bank;
mod bench;
mod blend;
mod completions;
mod config;
mod demo;
mod encode;
mod eval;
mod expand;
mod export;
mod generate;
mod health;
mod hits;
mod index;
mod interrupt;
mod keys;
mod log;
mod open;
mod remote;
mod sampling;
mod say;
mod search;
mod serve;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::model::{Arithmetic, ModelDirectory};
use crate::runtime::RuntimeOptions;

/// A vector search engine for FAQ retrieval with a built-in SimBERT encoder and paraphraser.
#[derive(Parser)]
#[command(name = "simbert", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(train::Train),
    Blend(blend::Blend),
    Export(export::Export),
    Encode(encode::Encode),
    Index(index::Index),
    Search(search::Search),
    Generate(generate::Generate),
    Expand(expand::Expand),
    Bank(bank::Bank),
    Eval(eval::Eval),
    Serve(Box<serve::Serve>),
    Health(health::Health),
    Keys(keys::Keys),
    Demo(demo::Demo),
    Bench(bench::Bench),
    Completions(completions::Completions),
}

/// Where the model is, for every command that runs one.
#[derive(Args, Debug, Clone)]
pub struct ModelArgs {
    /// Model directory: config.json, tokenizer.json, model.safetensors and the exported graphs.
    #[arg(long, value_name = "DIR", env = "SIMBERT_MODEL", default_value = "data/model")]
    pub model: PathBuf,
    /// Run the model in 8-bit integers: faster, a quarter of the memory, slightly other vectors. Banks are of one kind or
    /// the other. Needs `simbert export --int8`.
    #[arg(long)]
    pub int8: bool,
    /// The ONNX Runtime library. Looked for beside the binary and in vendor/onnxruntime/ when absent.
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    pub onnxruntime: Option<PathBuf>,
    /// Threads that compute, as many each for the encoder, the decoder and the index; 0 means one for each core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
}

impl ModelArgs {
    /// The numbers that the model is run in.
    fn arithmetic(&self) -> Arithmetic {
        if self.int8 { Arithmetic::Int8 } else { Arithmetic::F32 }
    }

    /// The model directory, as it is.
    fn named(&self) -> crate::Result<ModelDirectory> {
        Ok(ModelDirectory::open(&self.model)?.with_arithmetic(self.arithmetic()))
    }

    /// The model directory. One that was never exported is exported first, and standard error says so; graphs that
    /// were made from other weights are refused where they are opened, never replaced unasked. Nor is an int8 model
    /// made unasked: it is another model than the one that was judged.
    fn directory(&self) -> crate::Result<ModelDirectory> {
        let directory = self.named()?;
        if !self.int8 && !directory.encoder_path().exists() {
            eprintln!("writing the ONNX graphs of {}, as there are none", directory.root().display());
            crate::onnx::export(&directory)?;
        }
        Ok(directory)
    }

    /// Threads that compute, at least 1.
    fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Has what computes beside the model use as many threads as the model.
    fn limit_threads(&self) {
        // Fails where a command has done it before.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(self.threads()).build_global();
    }

    fn runtime(&self) -> RuntimeOptions {
        RuntimeOptions { onnxruntime: self.onnxruntime.clone(), threads: self.threads, ..RuntimeOptions::default() }
    }
}

/// Where the banks are, for every command that opens one.
#[derive(Args, Debug, Clone)]
pub struct DataArgs {
    /// Folder of the banks.
    #[arg(long, value_name = "DIR", env = "SIMBERT_DATA", default_value = "simbert-data", global = true)]
    pub data: PathBuf,
}

/// Parses the command line, runs the command, prints its error.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let (cli, settings) = match config::parse::<Cli>(&arguments) {
        Ok(parsed) => parsed,
        Err(config::Refusal::CommandLine(error)) => error.exit(), // with 2, or 0 after help
        Err(config::Refusal::File(error)) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let result = match cli.command {
        Command::Train(args) => args.run(),
        Command::Blend(args) => args.run(),
        Command::Export(args) => args.run(),
        Command::Encode(args) => args.run(),
        Command::Index(args) => args.run(),
        Command::Search(args) => args.run(),
        Command::Generate(args) => args.run(),
        Command::Expand(args) => args.run(),
        Command::Bank(args) => args.run(),
        Command::Eval(args) => args.run(),
        Command::Serve(args) => args.run(&settings),
        Command::Health(args) => args.run(),
        Command::Keys(args) => args.run(),
        Command::Demo(args) => args.run(),
        Command::Bench(args) => args.run(),
        Command::Completions(args) => args.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes as one line. Our own errors quote their cause, which is not said twice then.
fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let quoted = crate::Error::io("read it", "a.csv", std::io::Error::other("bad sector"));
        assert_eq!(message(&quoted.into()), "a.csv: cannot read it: bad sector");
        let wrapped = anyhow::Error::from(std::io::Error::other("bad sector")).context("nothing was indexed");
        assert_eq!(message(&wrapped), "nothing was indexed: bad sector");
    }
}
