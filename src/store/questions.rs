//! One bank's questions and vectors.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prost::Message;
use sled::Batch;

use super::acknowledged::{Acknowledged, Counts};
use super::folder::{self, BankFacts, Banks};
use super::parts::{self, Kind};
use super::record::Record;
use crate::{Error, Result};

/// Bytes of sled's page cache. Vectors are read once, when a bank is opened; only the records of hits come after that.
const CACHE: u64 = 64 << 20;

/// How long to wait for sled's threads to let go of a bank that this process has just closed.
const LETTING_GO: Duration = Duration::from_secs(10);

/// What a commit does to one question; questions go by their internal ids.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new question. Its id is not in use.
    Insert { id: u32, record: Record, vector: Vec<f32> },
    /// Another record beside the same vector.
    Rewrite { id: u32, record: Record },
    /// The question goes.
    Remove { id: u32 },
}

/// A question as it is read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub id: u32,
    pub record: Record,
    pub vector: Vec<f32>,
}

/// An open bank on disk. One process has it open at a time.
pub struct Store {
    db: sled::Db,
    /// sled's log, opened once more to be fsynced.
    log: File,
    acknowledged: Acknowledged,
    counts: Mutex<Counts>,
    /// The newest batch that is safe; locked while one thread makes it so for all.
    durable: Mutex<u64>,
    /// Set when a flush failed: what the disk holds is unknown then, and no later flush can tell.
    failed: AtomicBool,
    path: PathBuf,
    dimension: usize,
    /// The last field, so that it is dropped last.
    _lock: File,
}

impl Store {
    /// Opens the bank `name`, for a model with this fingerprint.
    ///
    /// # Errors
    /// There is no such bank, it is open elsewhere, another model or a newer program wrote it, it is damaged, or it
    /// lacks a batch that was acknowledged.
    pub fn open(banks: &Banks, name: &str, fingerprint: &str) -> Result<(Self, BankFacts)> {
        let facts = banks.facts(name)?;
        if facts.model_fingerprint != fingerprint {
            return Err(Error::ModelMismatch {
                bank: name.to_owned(),
                expected: facts.model_fingerprint,
                received: fingerprint.to_owned(),
            });
        }
        let path = banks.path(name);
        let lock = folder::lock(&path, name)?;
        remove_unfinished_snapshots(&path)?;
        let acknowledged = banks.counts(name)?;
        let db = open_sled(&path)?;
        let counts = match parts::get(&db, &path, Kind::Header, 0)? {
            None => Counts::default(),
            Some(bytes) => {
                Counts::from_bytes(&bytes).ok_or_else(|| Error::corrupt(&path, "its header is malformed"))?
            }
        };
        if counts.batch < acknowledged.batch {
            return Err(Error::corrupt(
                &path,
                format!(
                    "batch {} was acknowledged, but the newest one found is {}; restore the bank from a copy, or index \
                     its questions again",
                    acknowledged.batch, counts.batch
                ),
            ));
        }
        let log_path = path.join("db");
        let log = File::open(&log_path).map_err(|e| Error::io("open the bank's log", &log_path, e))?;
        let store = Self {
            db,
            log,
            acknowledged: Acknowledged::open(path.join("acknowledged"))?,
            counts: Mutex::new(counts),
            durable: Mutex::new(acknowledged.batch),
            failed: AtomicBool::new(false),
            path,
            dimension: facts.dimension,
            _lock: lock,
        };
        Ok((store, facts))
    }

    /// The bank's size after its newest batch.
    pub fn counts(&self) -> Counts {
        *self.counts.lock()
    }

    /// Applies changes as one batch: after a crash all of them are there or none. They can be read at once, but are
    /// safe only after [`Store::make_durable`]. `questions` and `faqs` are the bank's size after them.
    /// One thread at a time may write.
    ///
    /// # Errors
    /// A record or a vector is too large or of another width, or the store fails; nothing is changed then.
    pub fn apply(&self, changes: &[Change], questions: u64, faqs: u64) -> Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(self.refusal());
        }
        let mut batch = Batch::default();
        for change in changes {
            match change {
                Change::Insert { id, record, vector } => {
                    if vector.len() != self.dimension {
                        return Err(Error::invalid("vector", format!("{} components", self.dimension), vector.len()));
                    }
                    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                    parts::put(&mut batch, Kind::Vector, *id, check_size(bytes)?.as_slice());
                    parts::put(&mut batch, Kind::Record, *id, check_size(record.encode_to_vec())?.as_slice());
                }
                Change::Rewrite { id, record } => {
                    parts::remove(&self.db, &mut batch, Kind::Record, *id)?; // the old one may have more parts
                    parts::put(&mut batch, Kind::Record, *id, check_size(record.encode_to_vec())?.as_slice());
                }
                Change::Remove { id } => {
                    parts::remove(&self.db, &mut batch, Kind::Record, *id)?;
                    parts::remove(&self.db, &mut batch, Kind::Vector, *id)?;
                }
            }
        }
        let mut counts = self.counts.lock();
        let next = Counts { batch: counts.batch + 1, questions, faqs };
        parts::put(&mut batch, Kind::Header, 0, &next.to_bytes());
        self.db.apply_batch(batch).map_err(|e| self.fail(Error::store("write a batch", e)))?;
        *counts = next;
        Ok(())
    }

    /// Puts all applied batches on the disk and notes that they are there.
    ///
    /// sled's `flush` starts the writing and waits for it (`sync_file_range`), but neither flushes the disk's own
    /// cache nor the file's length: the fsync after it does (`pagecache/iobuf.rs` and `flusher.rs` of sled 0.34.7).
    /// Of several threads that wait here, the first does it for all batches applied so far.
    ///
    /// # Errors
    /// The disk refused. What it holds is unknown then, so all later writes are refused until the bank is opened anew.
    pub fn make_durable(&self) -> Result<()> {
        let wanted = self.counts().batch;
        let mut durable = self.durable.lock();
        if self.failed.load(Ordering::Acquire) {
            return Err(self.refusal());
        }
        if *durable >= wanted {
            return Ok(());
        }
        let counts = self.counts();
        let written = self.db.flush().map_err(|e| Error::store("flush a batch", e)).and_then(|_| {
            self.log.sync_data().map_err(|e| Error::io("write the bank's log to disk", &self.path, e))?;
            self.acknowledged.write(counts)
        });
        written.map_err(|error| self.fail(error))?;
        *durable = counts.batch;
        Ok(())
    }

    fn fail(&self, error: Error) -> Error {
        self.failed.store(true, Ordering::Release);
        error
    }

    fn refusal(&self) -> Error {
        Error::Unavailable {
            what: format!("writing to {}", self.path.display()),
            reason: "an earlier write to it failed; check the disk, then open the bank again".to_owned(),
        }
    }

    /// Reads a question's record.
    ///
    /// # Errors
    /// It is damaged, or the store fails.
    pub fn record(&self, id: u32) -> Result<Option<Record>> {
        let bytes = parts::get(&self.db, &self.path, Kind::Record, id)?;
        bytes.map(|bytes| self.decode(id, &bytes)).transpose()
    }

    fn decode(&self, id: u32, bytes: &[u8]) -> Result<Record> {
        Record::decode(bytes).map_err(|e| Error::corrupt(&self.path, format!("record {id} is malformed: {e}")))
    }

    /// Hands every question to `each`, by internal id, after checking it.
    ///
    /// # Errors
    /// A question is damaged or incomplete, or there are more or fewer than the last batch left; or `each` fails.
    pub fn load(&self, each: &mut dyn FnMut(Stored) -> Result<()>) -> Result<()> {
        let expected = self.counts().questions;
        let mut records = parts::scan(&self.db, &self.path, Kind::Record);
        let mut vectors = parts::scan(&self.db, &self.path, Kind::Vector);
        let mut received = 0;
        loop {
            let (id, record, bytes) = match (records.next().transpose()?, vectors.next().transpose()?) {
                (None, None) => break,
                (Some((id, record)), Some((same, vector))) if id == same => (id, record, vector),
                (record, vector) => {
                    let id = record.iter().chain(&vector).map(|(id, _)| *id).min().unwrap_or_default();
                    return Err(Error::corrupt(&self.path, format!("question {id} lacks its record or its vector")));
                }
            };
            let (floats, []) = bytes.as_chunks::<4>() else {
                return Err(Error::corrupt(&self.path, format!("vector {id} has {} bytes", bytes.len())));
            };
            if floats.len() != self.dimension {
                let (expected, received) = (self.dimension, floats.len());
                return Err(Error::corrupt(
                    &self.path,
                    format!("vector {id} is {received} wide instead of {expected}"),
                ));
            }
            let vector = floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            received += 1;
            each(Stored { id, record: self.decode(id, &record)?, vector })?;
        }
        if received != expected {
            return Err(Error::corrupt(&self.path, format!("expected {expected} questions, found {received}")));
        }
        Ok(())
    }
}

fn check_size(value: Vec<u8>) -> Result<Vec<u8>> {
    if value.len() > parts::LARGEST {
        return Err(Error::invalid("question", format!("at most {} bytes", parts::LARGEST), value.len()));
    }
    Ok(value)
}

/// Removes what a crash left of sled's own start: sled does not, and has refused to open beside one
/// (spacejam/sled issue 1527). Only the holder of the bank's lock may do it.
fn remove_unfinished_snapshots(folder: &Path) -> Result<()> {
    let failed = |e| Error::io("clear away an unfinished snapshot", folder, e);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            tracing::warn!(path = %path.display(), "removing a snapshot that sled did not finish");
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// Opens sled in `folder`. The caller holds the bank's lock.
pub(super) fn open_sled(folder: &Path) -> Result<sled::Db> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        let config = sled::Config::new().path(folder).cache_capacity(CACHE);
        // sled asserts what it believes about its files; on damaged ones that is a panic.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(e)))
                if e.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(Err(e @ sled::Error::Corruption { .. })) => return Err(Error::corrupt(folder, e.to_string())),
            Ok(Err(e)) => return Err(Error::store("open the bank", e)),
            Err(_) => return Err(Error::corrupt(folder, "sled gave up on its files")),
        }
    }
}
