//! Questions from files: CSV, TSV, JSON Lines, Parquet, plain text.

mod lines;
mod parquet;
mod table;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{Metadata, Question, QuestionId};
use crate::{Error, Result};

/// Bytes of the longest line or record that is held in memory.
const LONGEST: u64 = 4 << 20;

/// How a file holds questions. In all of them a byte order mark and carriage returns are passed over, blank lines are
/// skipped, and a question without an id gets one from its text: `q-` and 16 hex digits of its SHA-256.
///
/// In tables, the columns `id`, `question` (or `text`), `answer` and `faq_id` are what they say; any other column is
/// metadata, read by [`MetadataValue::from_cell`](super::MetadataValue::from_cell). An empty cell is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionFormat {
    /// Comma-separated, quoted where needed, with a header.
    Csv,
    /// Tab-separated, never quoted. With a header as above; or without: the question alone, or `id`, question, and
    /// perhaps answer.
    Tsv,
    /// A JSON object a line: `id`, `question` or `text`, `answer`, `faq_id`, `metadata`; any other field is metadata.
    JsonLines,
    /// Flat columns of these names. `question` and `answer` are text, `id` and `faq_id` text or whole numbers, metadata
    /// texts, numbers or flags. Compressed by Snappy, Zstandard, gzip or not at all.
    Parquet,
    /// A question a line.
    Text,
}

impl QuestionFormat {
    /// By the file's extension.
    ///
    /// # Errors
    /// The extension is none of `csv`, `tsv`, `tab`, `jsonl`, `ndjson`, `parquet`, `txt`.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "tsv" | "tab" => Ok(Self::Tsv),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            "txt" => Ok(Self::Text),
            _ => Err(Error::invalid(
                format!("format of {}", path.display()),
                "a file that ends in .csv, .tsv, .jsonl, .parquet or .txt, or its format named (`--format`)",
                format!("extension `{extension}`"),
            )),
        }
    }
}

/// Reads questions one after the other, each checked. A bad line is an error that names file and line; reading can go
/// on after it, so `filter` out [`Error::BadLine`] to skip bad lines. After any other error nothing follows.
pub struct QuestionFile {
    path: PathBuf,
    read: Arc<AtomicU64>,
    rows: Box<dyn Rows>,
    ended: bool,
}

/// Where rows come from.
trait Rows: Send {
    /// The next row that is not blank: its line, from 1, and what it says or why it is bad.
    fn next(&mut self) -> io::Result<Option<(u64, Result<Fields, String>)>>;
}

/// A question as a file gives it.
#[derive(Debug, Default)]
struct Fields {
    id: Option<String>,
    text: Option<String>,
    faq_id: Option<String>,
    answer: Option<String>,
    metadata: Metadata,
}

type Input = BufReader<Counted>;

/// Counts what has been read, for progress.
struct Counted {
    source: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl QuestionFile {
    /// Opens a file; its extension tells the format where none is given.
    ///
    /// # Errors
    /// The file cannot be read, or its format is unknown.
    pub fn open(path: &Path, format: Option<QuestionFormat>) -> Result<Self> {
        let format = format.map_or_else(|| QuestionFormat::of(path), Ok)?;
        let file = File::open(path).map_err(|e| Error::io("open the file of questions", path, e))?;
        match format {
            // Its table of contents is at the end, so it is read in place where that can be done.
            QuestionFormat::Parquet => Self::parquet(file, path),
            _ => Self::new(Box::new(file), path, format),
        }
    }

    /// Reads from any source; `path` is its name in errors. Parquet is read into memory first.
    ///
    /// # Errors
    /// The source cannot be read, or is not Parquet with columns of the right types where it should be.
    pub fn new(mut source: Box<dyn Read + Send>, path: &Path, format: QuestionFormat) -> Result<Self> {
        if format == QuestionFormat::Parquet {
            let mut bytes = Vec::new();
            source.read_to_end(&mut bytes).map_err(|e| Error::io("read the questions", path, e))?;
            return Self::parquet(bytes::Bytes::from(bytes), path);
        }
        let read = Arc::new(AtomicU64::new(0));
        let mut input = BufReader::with_capacity(1 << 16, Counted { source, read: Arc::clone(&read) });
        let start = input.fill_buf().map_err(|e| Error::io("read the questions", path, e))?;
        if start.starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
        }
        let rows: Box<dyn Rows> = match format {
            QuestionFormat::Csv => Box::new(table::Table::csv(input)),
            QuestionFormat::Tsv => Box::new(table::Table::tsv(input)),
            QuestionFormat::JsonLines => Box::new(lines::Lines::json(input)),
            QuestionFormat::Text => Box::new(lines::Lines::text(input)),
            QuestionFormat::Parquet => return Err(Error::Internal("Parquet has no lines".to_owned())),
        };
        Ok(Self { path: path.to_owned(), read, rows, ended: false })
    }

    fn parquet<S: ::parquet::file::reader::ChunkReader + 'static>(source: S, path: &Path) -> Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let rows = parquet::ParquetRows::new(source, Arc::clone(&read));
        let rows = Box::new(rows.map_err(|e| Error::io("read the questions", path, e))?);
        Ok(Self { path: path.to_owned(), read, rows, ended: false })
    }

    /// Bytes read so far; a buffer ahead of the questions.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Iterator for QuestionFile {
    type Item = Result<Question>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.rows.next() {
            Ok(Some((line, fields))) => {
                Some(fields.and_then(|fields| fields.question()).map_err(|reason| Error::BadLine {
                    path: self.path.clone(),
                    line,
                    reason,
                }))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(e) => {
                self.ended = true;
                Some(Err(Error::io("read the questions", &self.path, e)))
            }
        }
    }
}

impl Fields {
    fn question(self) -> Result<Question, String> {
        let text = self.text.ok_or("expected a question, received none")?;
        let id = self.id.unwrap_or_else(|| derived_id(&text));
        let id = QuestionId::new(id).map_err(|e| e.to_string())?;
        let question = Question { id, text, faq_id: self.faq_id, answer: self.answer, metadata: self.metadata };
        question.check().map_err(|e| e.to_string())?;
        Ok(question)
    }
}

/// The id of a question that has none: the same text has the same id, so that a file can be indexed twice.
fn derived_id(text: &str) -> String {
    let hash = Sha256::digest(text.trim().as_bytes());
    hash.iter().take(8).fold("q-".to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

#[cfg(test)]
mod tests;
