//! `simbert index`.

mod cut;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use self::cut::Cut;
use super::ModelArgs;
use super::open::{self, BankArgs};
use crate::Error;
use crate::engine::{Bank, BankSettings, Prepared, Quantisation, QuestionFile, QuestionFormat, UpsertOutcome};

/// Batches that wait, encoded or nearly so, for the one that is committed: the encoder always has the next.
const AHEAD: usize = 2;

/// Read questions from FILE, encode them, and put them into a bank.
///
/// CSV and TSV have a header that names `id`, `question` (or `text`), `answer` and `faq_id`; other columns become
/// metadata: `true` and `false` are flags, numbers are numbers (007 is text), the rest is text. A TSV without a header
/// is read as question, or id and question, or id, question and answer. JSON Lines have an object a line with the same
/// names, and `metadata` beside them. Parquet has the columns of a CSV: question and answer are text, ids text or whole
/// numbers, metadata has the columns' types. In plain text each line is a question.
///
/// A question without an id gets one from its text, so that a file can be indexed again. A question whose id is in the
/// bank replaces it. Questions are safe on the disk batch by batch. A run that was interrupted can be started again: what
/// is in the bank word for word is read and passed over, faster than it is encoded by a hundred times.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert index questions.csv --bank faq\n  \
    simbert index export.jsonl --bank faq --skip-bad --json\n  \
    cut -f1 log.tsv | simbert index - --format txt --bank asked")]
pub struct Index {
    /// A .csv, .tsv, .jsonl, .parquet or .txt file; `-` for standard input.
    file: PathBuf,
    #[command(flatten)]
    bank: BankArgs,
    /// The file's format, where its name does not tell.
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Pass over bad lines and count them, instead of stopping at the first.
    #[arg(long)]
    skip_bad: bool,
    /// Refuse to make the bank when it is missing.
    #[arg(long)]
    no_create: bool,
    /// Description of a bank that is made.
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// How the graphs of a bank that is made see its vectors; what they find is scored by the exact ones all the same.
    #[arg(long, value_name = "off|f16|int8", default_value = "int8")]
    quantisation: Quantisation,
    /// Questions that are encoded and committed at once.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Print a summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// [`QuestionFormat`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FormatName {
    Csv,
    Tsv,
    Jsonl,
    Parquet,
    Txt,
}

impl From<FormatName> for QuestionFormat {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Csv => Self::Csv,
            FormatName::Tsv => Self::Tsv,
            FormatName::Jsonl => Self::JsonLines,
            FormatName::Parquet => Self::Parquet,
            FormatName::Txt => Self::Text,
        }
    }
}

/// What a run did.
#[derive(Default)]
struct Summary {
    read: u64,
    inserted: u64,
    updated: u64,
    /// How many of the updated ones were there word for word.
    unchanged: u64,
    skipped: u64,
}

/// A batch on its way into the bank.
struct Batch {
    /// Questions in it.
    read: u64,
    /// Bytes of the file up to its end.
    position: u64,
    preparing: JoinHandle<crate::Result<Prepared>>,
}

impl Index {
    pub fn run(self) -> anyhow::Result<()> {
        let (file, bytes) = self.open_file()?; // before the model is loaded
        let bank = self.open_bank()?;
        let bar = bar(bytes)?;
        let started = Instant::now();
        let mut summary = Summary::default();
        let result = self.index(file, &bank, &bar, &mut summary);
        bar.finish_and_clear();
        result.with_context(|| match summary.read {
            0 => "nothing was indexed".to_owned(),
            read => format!(
                "stopped after {read} questions of the file, which are in the bank; run the command again to go on, \
                 those will not be encoded again"
            ),
        })?;
        self.report(&bank, &summary, started.elapsed())
    }

    fn open_file(&self) -> anyhow::Result<(QuestionFile, Option<u64>)> {
        let format = self.format.map(QuestionFormat::from);
        if self.file.as_os_str() != "-" {
            let bytes = std::fs::metadata(&self.file).ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
            return Ok((QuestionFile::open(&self.file, format)?, bytes));
        }
        let format = format.context("the format of standard input is not known; name it with `--format`")?;
        Ok((QuestionFile::new(Box::new(std::io::stdin()), Path::new("standard input"), format)?, None))
    }

    fn open_bank(&self) -> anyhow::Result<Bank> {
        let engine = open::engine(&self.bank.data, &self.model)?;
        match open::bank(&engine, &self.bank.bank) {
            Err(error) if !self.no_create && matches!(error.downcast_ref(), Some(Error::NotFound { .. })) => {
                let settings = BankSettings { description: self.description.clone(), quantisation: self.quantisation };
                Ok(engine.create_bank(&self.bank.bank, settings)?)
            }
            opened => opened,
        }
    }

    /// Reads, encodes and commits side by side: a thread reads, each batch on its way has a thread that prepares it, and
    /// this one commits them in the order of the file. A full channel holds the reader back. When a commit fails, nobody
    /// waits for the reader: it may be at a pipe that says nothing.
    fn index(&self, file: QuestionFile, bank: &Bank, bar: &ProgressBar, summary: &mut Summary) -> anyhow::Result<()> {
        let (sender, batches) = sync_channel(AHEAD);
        let cut = Cut { file, batch: self.batch as usize, skip_bad: self.skip_bad, bar: bar.clone() };
        let preparer = bank.clone();
        let reader = std::thread::spawn(move || {
            cut.run(|batch, position| {
                let (read, bank) = (batch.len() as u64, preparer.clone());
                let preparing = std::thread::spawn(move || bank.prepare(batch));
                sender.send(Batch { read, position, preparing }).is_ok()
            })
        });
        for Batch { read, position, preparing } in batches {
            let prepared = preparing.join().map_err(|_| Error::Internal("encoding panicked".to_owned()))?;
            let UpsertOutcome { inserted, updated, unchanged } = bank.commit(prepared?)?;
            summary.read += read;
            summary.inserted += inserted;
            summary.updated += updated;
            summary.unchanged += unchanged;
            bar.set_position(position);
            let rate = summary.read as f64 / bar.elapsed().as_secs_f64().max(1e-9);
            bar.set_message(format!("{} questions, {rate:.0}/s", summary.read));
        }
        // A bad line is complained of when what was read before it is in the bank: a run after the repair updates it.
        summary.skipped = reader.join().map_err(|_| Error::Internal("reading panicked".to_owned()))??;
        Ok(())
    }

    fn report(&self, bank: &Bank, summary: &Summary, took: Duration) -> anyhow::Result<()> {
        let Summary { read, inserted, updated, unchanged, skipped } = *summary;
        let repeated = read - inserted - updated;
        let (seconds, total) = (took.as_secs_f64(), bank.status()?.questions);
        let rate = read as f64 / seconds.max(1e-9);
        let mut out = std::io::stdout().lock();
        if self.json {
            let summary = serde_json::json!({
                "bank": self.bank.bank, "read": read, "inserted": inserted, "updated": updated,
                "unchanged": unchanged, "repeated": repeated,
                "skipped": skipped, "questions": total, "seconds": seconds, "questions_per_second": rate,
            });
            writeln!(out, "{summary}")?;
            return Ok(());
        }
        writeln!(out, "{read} questions read in {seconds:.1} s, {rate:.0} a second")?;
        writeln!(
            out,
            "{inserted} new, {updated} updated ({unchanged} of them as they were), {repeated} repeated in one batch, \
             {skipped} bad lines skipped"
        )?;
        writeln!(out, "bank `{}` holds {total} questions", self.bank.bank)?;
        Ok(())
    }
}

/// A bar over the file's bytes, or a spinner where their number is not known; hidden where there is no terminal.
fn bar(bytes: Option<u64>) -> anyhow::Result<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{elapsed_precise} {bar:24} {percent}%, {eta_precise} left · {msg}"),
        None => (ProgressBar::new_spinner(), "{elapsed_precise} {spinner} {msg}"),
    };
    let bar = bar.with_style(ProgressStyle::with_template(template)?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
