//! `simbert bench search`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::{Args, value_parser};

use super::super::ModelArgs;
use super::super::open::{self, BankArgs};
use super::texts::{quantile, texts};
use crate::engine::SearchRequest;

/// Look the lines of FILE up in a bank, one after the other and in this process, and tell how long one takes.
///
/// What has no graph yet gets one first, as in a server. It is what a server's calls are held against: `simbert bench
/// serve` times the same over gRPC.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert bench search queries.txt --bank faq\n  \
    simbert bench search queries.txt --bank faq --int8 --limit 200 --json")]
pub struct Search {
    /// A UTF-8 file of queries, one a line.
    file: PathBuf,
    #[command(flatten)]
    bank: BankArgs,
    /// Lines to read.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..))]
    limit: u32,
    /// Lines to pass over first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,
    /// How many hits at most, 1 to 1000.
    #[arg(short, value_name = "N", default_value_t = 10)]
    k: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

impl Search {
    pub fn run(self) -> anyhow::Result<()> {
        let texts = texts(&self.file, self.skip, self.limit)?;
        let engine = open::engine(&self.bank.data, &self.model)?.with_graphs(Default::default());
        let bank = open::bank(&engine, &self.bank.bank)?;
        let bar = open::bar("questions linked")?;
        let linked = bank.link_now(&|done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        linked?;
        let request = |text: &String| SearchRequest::text(text, self.k);
        for text in texts.iter().take(20) {
            bank.search(&request(text))?; // warms up
        }
        let (mut calls, mut encodings, mut searches) = (Vec::new(), Vec::new(), Vec::new());
        let bar = open::bar("queries")?;
        bar.set_length(texts.len() as u64);
        for text in &texts {
            let started = Instant::now();
            let found = bank.search(&request(text)).with_context(|| format!("cannot look `{text}` up"))?;
            calls.push(started.elapsed().as_secs_f64() * 1e3);
            let timings = found.timings;
            encodings.push((timings.queue + timings.tokenise + timings.infer).as_secs_f64() * 1e3);
            searches.push(timings.search.as_secs_f64() * 1e3);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let (p50, p99) = (quantile(&mut calls, 0.5), quantile(&mut calls, 0.99));
        let (encode, search) = (quantile(&mut encodings, 0.5), quantile(&mut searches, 0.5));
        let (count, questions) = (texts.len(), bank.status()?.questions);
        let mut out = std::io::stdout().lock();
        match self.json {
            true => writeln!(
                out,
                "{}",
                serde_json::json!({"queries": count, "questions": questions, "k": self.k, "p50_ms": p50, "p99_ms": p99,
                    "encode_p50_ms": encode, "search_p50_ms": search})
            )?,
            false => writeln!(
                out,
                "{count} queries among {questions} questions, {} hits: p50 {p50:.2} ms ({encode:.2} encoding, \
                 {search:.2} searching), p99 {p99:.2} ms",
                self.k
            )?,
        }
        Ok(())
    }
}
