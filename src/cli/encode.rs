//! `simbert encode`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, IsTerminal, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::ModelArgs;
use crate::runtime::Encoder;

/// Lines that are encoded at once: enough to group like lengths, little enough for steady progress.
const LINES_AT_ONCE: usize = 1024;
/// Numbers of a vector that the table shows.
const SHOWN: usize = 4;

/// Turn texts into sentence vectors of length 1.
///
/// Texts come from the command line, from a file (one a line), or from standard input; the vectors come in the same
/// order. Without --json or --output, a table shows how each vector begins. A blank line is a text too, so that rows
/// and lines stay in step.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert encode 怎么退款 如何申请退款 --json\n  \
    simbert encode --file questions.txt --output vectors.npy\n  cut -f1 pairs.tsv | simbert encode --json > vectors.jsonl")]
pub struct Encode {
    /// The texts; read from standard input when absent.
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    texts: Vec<String>,
    /// Read the texts from a UTF-8 file, one a line.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print a line of JSON for each text: {"text": …, "vector": […]}.
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Write the vectors to a NumPy file, f32, [texts, dimension].
    #[arg(long, value_name = "FILE.npy")]
    output: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
}

impl Encode {
    pub fn run(self) -> anyhow::Result<()> {
        let encoder = Encoder::open(&self.model.directory()?, &self.model.runtime())?;
        let mut sink = match (&self.output, self.json) {
            (Some(path), _) => Sink::Npy(Npy::create(path, encoder.dimension())?),
            (None, true) => Sink::Json(BufWriter::new(std::io::stdout())),
            (None, false) => Sink::Table(std::io::stdout()),
        };
        if self.texts.is_empty() {
            let (input, bytes): (Box<dyn BufRead>, _) = match &self.file {
                Some(path) => {
                    let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
                    let bytes = file.metadata()?.len();
                    (Box::new(BufReader::new(file)), Some(bytes))
                }
                None => (Box::new(std::io::stdin().lock()), None),
            };
            // A bar in the middle of what is printed would spoil both.
            let shown = self.output.is_some() || !std::io::stdout().is_terminal();
            encode_lines(&encoder, input, &bar(shown, bytes)?, &mut sink)?;
        } else {
            sink.put(&self.texts, encoder.encode(&self.texts)?.vectors)?;
        }
        sink.finish()
    }
}

fn encode_lines(encoder: &Encoder, input: Box<dyn BufRead>, bar: &ProgressBar, sink: &mut Sink) -> anyhow::Result<()> {
    let mut lines = input.lines();
    let mut number = 0;
    loop {
        let mut texts = Vec::with_capacity(LINES_AT_ONCE);
        let mut bytes = 0;
        for line in lines.by_ref().take(LINES_AT_ONCE) {
            number += 1;
            let line = line.with_context(|| format!("line {number}: expected UTF-8 text"))?;
            bytes += line.len() as u64 + 1;
            texts.push(line.trim_start_matches('\u{feff}').to_owned());
        }
        if texts.is_empty() {
            bar.finish_and_clear();
            return Ok(());
        }
        let vectors = encoder.encode(&texts)?.vectors;
        sink.put(&texts, vectors)?;
        bar.inc(bytes);
        bar.set_message(format!("{number} texts, {:.0}/s", number as f64 / bar.elapsed().as_secs_f64().max(1e-9)));
    }
}

fn bar(shown: bool, bytes: Option<u64>) -> anyhow::Result<ProgressBar> {
    Ok(match bytes {
        _ if !shown => ProgressBar::hidden(),
        Some(bytes) => ProgressBar::new(bytes).with_style(ProgressStyle::with_template(
            "{elapsed_precise} {bar:24} {percent}%, {eta_precise} left · {msg}",
        )?),
        None => {
            ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{elapsed_precise} {spinner} {msg}")?)
        }
    })
}

/// Where the vectors go.
enum Sink {
    Table(std::io::Stdout),
    Json(BufWriter<std::io::Stdout>),
    Npy(Npy),
}

impl Sink {
    fn put(&mut self, texts: &[String], vectors: Vec<Vec<f32>>) -> anyhow::Result<()> {
        for (text, vector) in texts.iter().zip(vectors) {
            match self {
                Self::Npy(npy) => npy.put(&vector)?,
                Self::Json(out) => writeln!(out, "{}", serde_json::json!({"text": text, "vector": vector}))?,
                Self::Table(out) => {
                    let start: Vec<String> = vector.iter().take(SHOWN).map(|x| format!("{x:+.4}")).collect();
                    writeln!(out, "[{}, … {} numbers]  {text}", start.join(", "), vector.len())?;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Npy(npy) => npy.finish()?,
            Self::Json(mut out) => out.flush()?,
            Self::Table(mut out) => out.flush()?,
        }
        Ok(())
    }
}

/// A NumPy file in the making, format 1.0: the header is written again at the end, when the rows are counted.
struct Npy {
    file: BufWriter<File>,
    target: PathBuf,
    partial: PathBuf,
    rows: usize,
    dimension: usize,
}

impl Npy {
    fn create(target: &Path, dimension: usize) -> anyhow::Result<Self> {
        let mut partial = target.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).with_context(|| format!("cannot create `{}`", partial.display()))?;
        let mut file = BufWriter::new(file);
        file.write_all(&npy_header(0, dimension))?;
        Ok(Self { file, target: target.to_owned(), partial, rows: 0, dimension })
    }

    fn put(&mut self, vector: &[f32]) -> std::io::Result<()> {
        self.rows += 1;
        vector.iter().try_for_each(|x| self.file.write_all(&x.to_le_bytes()))
    }

    fn finish(mut self) -> std::io::Result<()> {
        self.file.rewind()?; // flushes first
        self.file.write_all(&npy_header(self.rows, self.dimension))?;
        self.file.flush()?;
        std::fs::rename(&self.partial, &self.target)
    }
}

/// 128 bytes for any number of rows, so that it can be written over.
fn npy_header(rows: usize, dimension: usize) -> Vec<u8> {
    const LENGTH: usize = 128;
    const PREAMBLE: &[u8] = b"\x93NUMPY\x01\x00\x76\x00"; // 0x76 = 118 bytes follow
    let mut header = PREAMBLE.to_vec();
    header.extend(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}").bytes());
    header.resize(LENGTH - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numpy_header_keeps_its_length() {
        for rows in [0, usize::MAX] {
            let header = npy_header(rows, 1024);
            assert_eq!(header.len(), 128);
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])) + 10, header.len());
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }
}
