//! One bank's questions and vectors.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prost::Message;
use sled::Batch;

use super::FORMAT;
use super::acknowledged::{Acknowledged, Counts};
use super::attempt::{attempt, flush};
use super::folder::{self, BankFacts, Banks};
use super::parts::{self, Kind};
use super::record::Record;
use super::room;
use super::segments::{SegmentFile, SegmentParts, Segments};
use super::snapshot::Copying;
use crate::{Error, Result};

/// New vectors of one batch from which they get a file of their own: sled holds some thousand well, and a million badly.
const FILED_FROM: usize = 256;

/// Bytes of sled's page cache. Vectors are read once, when a bank is opened; only the records of hits come after that.
const CACHE: u64 = 64 << 20;

/// What to do where the store cannot help itself.
const WAY_OUT: &str = "restore the bank from a snapshot (`simbert bank restore`), or index its questions again";

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
///
/// Locks are taken in the order of the fields.
pub struct Store {
    pub(super) db: sled::Db,
    /// Set once the bank is about to go, and held while a segment is made.
    pub(super) retired: Mutex<bool>,
    pub(super) segments: Segments,
    /// sled's log, opened once more to be fsynced.
    log: File,
    acknowledged: Acknowledged,
    /// The snapshot that is being taken, if any. A batch is applied under this lock, so that what it changes is copied
    /// before.
    pub(super) copying: Mutex<Option<Copying>>,
    counts: Mutex<Counts>,
    /// The newest batch that is safe; locked while one thread makes it so for all.
    durable: Mutex<u64>,
    /// Set when a write failed, see [`failed`](super::failed).
    pub(super) failed: AtomicBool,
    /// Bytes of the disk that are left to sled, see [`room`]; 0 where its room is not looked at.
    pub(super) reserve: u64,
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) dimension: usize,
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
        if facts.format < FORMAT {
            banks.upgrade(name, &facts)?;
        }
        Ok((Self::open_in(path, name, facts.dimension, lock)?, facts))
    }

    /// Opens the bank in `path`, whose `lock` the caller has taken.
    pub(super) fn open_in(path: PathBuf, name: &str, dimension: usize, lock: File) -> Result<Self> {
        remove_unfinished_snapshots(&path)?;
        let acknowledged = Acknowledged::read(&path.join("acknowledged"))?;
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
                    "batch {} was acknowledged, but the newest one found is {}; {}",
                    acknowledged.batch, counts.batch, WAY_OUT
                ),
            ));
        }
        let segments = Segments::open(&db, &path, dimension)?;
        let log_path = path.join("db");
        let log = File::open(&log_path).map_err(|e| Error::io("open the bank's log", &log_path, e))?;
        Ok(Self {
            db,
            retired: Mutex::new(false),
            segments,
            log,
            acknowledged: Acknowledged::open(path.join("acknowledged"))?,
            copying: Mutex::new(None),
            counts: Mutex::new(counts),
            durable: Mutex::new(acknowledged.batch),
            failed: AtomicBool::new(false),
            reserve: room::RESERVE,
            name: name.to_owned(),
            path,
            dimension,
            _lock: lock,
        })
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
    /// A record or a vector is too large or of another width, the disk might not hold the batch, or the store fails;
    /// nothing is changed then.
    pub fn apply(&self, changes: &[Change], questions: u64, faqs: u64) -> Result<()> {
        self.apply_filed(changes, self.file(changes)?, questions, faqs)
    }

    /// The same with what [`Store::file`] gave for these changes.
    ///
    /// # Errors
    /// As for [`Store::apply`].
    pub fn apply_filed(
        &self,
        changes: &[Change],
        mut filed: Option<Filed<'_>>,
        questions: u64,
        faqs: u64,
    ) -> Result<()> {
        self.refuse_failed()?;
        let (mut batch, mut bytes) = (Batch::default(), 0);
        let mut put = |batch: &mut Batch, kind, id, value: Vec<u8>| -> Result<()> {
            let value = check_size(value)?;
            bytes += value.len() as u64;
            parts::put(batch, kind, id, &value);
            Ok(())
        };
        for change in changes {
            match change {
                Change::Insert { id, record, vector } => {
                    if filed.is_none() {
                        put(&mut batch, Kind::Vector, *id, bytemuck::cast_slice(vector).to_vec())?;
                    }
                    put(&mut batch, Kind::Record, *id, record.encode_to_vec())?;
                }
                Change::Rewrite { id, record } => {
                    // The old one may have more parts.
                    parts::remove(&self.db, &self.path, &mut batch, Kind::Record, *id)?;
                    put(&mut batch, Kind::Record, *id, record.encode_to_vec())?;
                }
                Change::Remove { id } => {
                    parts::remove(&self.db, &self.path, &mut batch, Kind::Record, *id)?;
                    parts::remove(&self.db, &self.path, &mut batch, Kind::Vector, *id)?;
                }
            }
        }
        if self.reserve > 0 {
            room::check(&self.path, bytes.saturating_mul(room::AMPLIFICATION), self.reserve)?;
        }
        if let Some(filed) = &filed {
            self.segments.list(&mut batch, &filed.file);
        }
        let mut copying = self.copying.lock();
        if let Some(copying) = &mut *copying {
            copying.save(self, changes);
        }
        let mut counts = self.counts.lock();
        let next = Counts { batch: counts.batch + 1, questions, faqs };
        parts::put(&mut batch, Kind::Header, 0, &next.to_bytes());
        attempt(&self.path, "write a batch", || self.db.apply_batch(batch)).map_err(|error| self.fail(error))?;
        *counts = next;
        if let Some(filed) = &mut filed {
            filed.kept = true;
        }
        Ok(())
    }

    /// The new vectors of `changes` in a file of their own, where they are many: it is on the disk when this returns, and
    /// goes again unless the changes are applied.
    ///
    /// # Errors
    /// A vector is of another width, the disk might not hold them, or the store fails.
    pub fn file(&self, changes: &[Change]) -> Result<Option<Filed<'_>>> {
        self.refuse_failed()?;
        let mut vectors: Vec<(u32, &[f32])> = Vec::new();
        for change in changes {
            if let Change::Insert { id, vector, .. } = change {
                if vector.len() != self.dimension {
                    return Err(Error::invalid("vector", format!("{} components", self.dimension), vector.len()));
                }
                vectors.push((*id, vector));
            }
        }
        if vectors.len() < FILED_FROM {
            return Ok(None);
        }
        vectors.sort_unstable_by_key(|(id, _)| *id);
        let ids: Vec<u32> = vectors.iter().map(|(id, _)| *id).collect();
        let rows = Box::new(vectors.iter().map(|(_, vector)| *vector));
        let parts = SegmentParts { ids: &ids, vectors: rows, derived: &[] };
        let file = self.segments.write(parts, self.reserve)?;
        self.segments.add(&file);
        Ok(Some(Filed { segments: &self.segments, file, kept: false }))
    }

    /// Applies a batch that changes no question, and puts it on the disk.
    pub(super) fn apply_and_flush(&self, batch: Batch) -> Result<()> {
        self.refuse_failed()?;
        attempt(&self.path, "write a batch", || self.db.apply_batch(batch)).map_err(|error| self.fail(error))?;
        let _one_at_a_time = self.durable.lock();
        self.flush().map_err(|error| self.fail(error))
    }

    fn flush(&self) -> Result<()> {
        attempt(&self.path, "flush a batch", || flush(&self.db))?;
        self.log.sync_data().map_err(|e| Error::io("write the bank's log to disk", &self.path, e))
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
        self.refuse_failed()?;
        if *durable >= wanted {
            return Ok(());
        }
        let counts = self.counts();
        let written = self.flush().and_then(|()| self.acknowledged.write(counts));
        written.map_err(|error| self.fail(error))?;
        *durable = counts.batch;
        Ok(())
    }

    /// Reads a question's record.
    ///
    /// # Errors
    /// It is damaged, or the store fails.
    pub fn record(&self, id: u32) -> Result<Option<Record>> {
        let bytes = parts::get(&self.db, &self.path, Kind::Record, id)?;
        bytes.map(|bytes| self.decode(id, &bytes)).transpose()
    }

    pub(super) fn decode<T: Message + Default>(&self, id: u32, bytes: &[u8]) -> Result<T> {
        T::decode(bytes).map_err(|e| Error::corrupt(&self.path, format!("record {id} is malformed: {e}")))
    }

    /// A question's vector, from sled or from a file: it is moved from the one to the other, never back.
    ///
    /// # Errors
    /// It is damaged, or the store fails.
    pub fn vector(&self, id: u32) -> Result<Option<Vec<f32>>> {
        match parts::get(&self.db, &self.path, Kind::Vector, id)? {
            Some(bytes) => self.components(id, &bytes).map(Some),
            None => self.segments.vector(id),
        }
    }

    /// The components of a vector of sled.
    pub(super) fn components(&self, id: u32, bytes: &[u8]) -> Result<Vec<f32>> {
        components(bytes, self.dimension).map_err(|fault| Error::corrupt(&self.path, format!("vector {id} {fault}")))
    }
}

/// A file of new vectors; removed when it is dropped before it is kept.
pub struct Filed<'a> {
    segments: &'a Segments,
    file: Arc<SegmentFile>,
    kept: bool,
}

impl Drop for Filed<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.segments.remove(&self.file);
        }
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
            Ok(Err(e @ sled::Error::Corruption { .. })) => {
                return Err(Error::corrupt(folder, format!("{e}; {WAY_OUT}")));
            }
            Ok(Err(e)) => return Err(Error::store("open the bank", e)),
            Err(_) => return Err(Error::corrupt(folder, format!("sled gave up on its files; {WAY_OUT}"))),
        }
    }
}

/// The components of a vector from its bytes, f32 in little endian; or what the vector does wrong: “has …”, “is …”.
pub(super) fn components(bytes: &[u8], dimension: usize) -> Result<Vec<f32>, String> {
    match bytes.as_chunks::<4>() {
        (floats, []) if floats.len() == dimension => {
            Ok(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
        (floats, []) => Err(format!("is {} wide instead of {dimension}", floats.len())),
        _ => Err(format!("has {} bytes", bytes.len())),
    }
}

/// Waits until sled has let go of the files in `folder`, which the caller has closed.
pub(super) fn wait_for_sled(folder: &Path) -> Result<()> {
    let path = folder.join("db");
    let log = File::open(&path).map_err(|e| Error::io("open the bank's log", &path, e))?;
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match log.try_lock() {
            Ok(()) => return Ok(()),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Err(e) => return Err(Error::io("close the bank's log", &path, e.into())),
        }
    }
}
