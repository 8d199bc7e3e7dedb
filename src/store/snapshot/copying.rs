//! Taking a snapshot of an open store.

use std::fs::File;
use std::path::{Path, PathBuf};

use parking_lot::MutexGuard;
use roaring::RoaringBitmap;

use super::super::folder::BankFacts;
use super::super::parts::{self, Kind};
use super::super::questions::{Change, Store};
use super::super::record::Record;
use super::super::whole_file::WholeFile;
use super::writer::Writer;
use super::{Header, SnapshotFacts, Step};
use crate::{Error, Result};

/// Questions of one slice at most; a slice also ends with the frame that it fills.
const SLICE: usize = 256;

/// Slices between two writes to the disk: some 20 MiB. All at the end, it would keep commits waiting for their own.
const SLICES_TO_DISK: u32 = 64;

/// A snapshot that is being taken.
#[derive(Debug)]
pub(in super::super) struct Copying {
    /// Internal ids of the questions that are still to copy. No question that came later is among them: an id is not
    /// given away twice while a bank is open.
    pending: RoaringBitmap,
    writer: Writer,
    /// Why a commit could not copy what it changed. The commit goes on, the snapshot does not.
    failed: Option<Error>,
}

impl Copying {
    /// Copies what `changes` are about to change.
    pub(in super::super) fn save(&mut self, store: &Store, changes: &[Change]) {
        for change in changes {
            let (Change::Rewrite { id, .. } | Change::Remove { id }) = change else { continue };
            if self.failed.is_none()
                && self.pending.remove(*id)
                && let Err(error) = self.copy(store, *id)
            {
                self.failed = Some(error);
            }
        }
    }

    /// Has the snapshot end with this error, unless it has another one.
    pub(in super::super) fn give_up(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    fn copy(&mut self, store: &Store, id: u32) -> Result<()> {
        let record = parts::get(&store.db, &store.path, Kind::Record, id)?.ok_or_else(|| lacking(store, id))?;
        self.push(store, id, record).map(drop)
    }

    /// Whether the frame is full then.
    fn push(&mut self, store: &Store, id: u32, record: Vec<u8>) -> Result<bool> {
        store.decode::<Record>(id, &record)?; // what cannot be restored is no snapshot
        let vector = store.vector(id)?.ok_or_else(|| lacking(store, id))?;
        self.writer.push(record, bytemuck::cast_slice(&vector).to_vec())
    }

    /// Copies a slice of what is left.
    fn slice(&mut self, store: &Store) -> Result<()> {
        let ids: Vec<u32> = self.pending.iter().take(SLICE).collect();
        let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else { return Ok(()) };
        let mut records = parts::scan(&store.db, &store.path, Kind::Record, first..=last);
        for &id in &ids {
            let record = records.find(|(found, _)| *found >= id).filter(|(found, _)| *found == id);
            let record = record.ok_or_else(|| lacking(store, id))?.1?;
            self.pending.remove(id);
            if self.push(store, id, record.to_vec())? {
                break;
            }
        }
        Ok(())
    }
}

fn lacking(store: &Store, id: u32) -> Error {
    Error::corrupt(&store.path, format!("question {id} lacks its record or its vector"))
}

impl Store {
    /// Begins a snapshot of the bank as it is now: of the questions with these internal ids, which are all. Nothing may
    /// be applied while this runs; afterwards, anything may.
    ///
    /// # Errors
    /// A snapshot of this bank is being taken, or the file is refused by [`WholeFile::create`].
    pub fn begin_snapshot(
        &self,
        live: RoaringBitmap,
        facts: &BankFacts,
        file: &Path,
        replace: bool,
    ) -> Result<Snapshot<'_>> {
        let mut copying = self.copying.lock();
        if copying.is_some() {
            let (what, reason) = (format!("bank `{}`", self.name), "a snapshot of it is being taken; wait for its end");
            return Err(Error::Unavailable { what, reason: reason.to_owned() });
        }
        let counts = self.counts();
        if live.len() != counts.questions {
            let comment = format!("expected {} questions, found {}", counts.questions, live.len());
            return Err(Error::corrupt(&self.path, comment));
        }
        let facts = SnapshotFacts {
            bank: self.name.clone(),
            facts: facts.clone(),
            counts,
            written_by: concat!("simbert ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let file = WholeFile::create(file, replace)?;
        let (handle, path) = (file.handle()?, file.path().to_owned());
        let writer = Writer::new(file, &Header::from(&facts))?;
        *copying = Some(Copying { pending: live, writer, failed: None });
        Ok(Snapshot { store: self, facts, file: handle, path, copied: false })
    }

    /// Internal ids of all questions, from the disk.
    ///
    /// # Errors
    /// sled cannot read them.
    pub fn live(&self) -> Result<RoaringBitmap> {
        parts::ids(&self.db, &self.path, Kind::Record)
    }
}

/// A snapshot that was begun. Dropped before its end, it leaves no file.
#[must_use = "a snapshot is taken by `run`"]
pub struct Snapshot<'a> {
    store: &'a Store,
    facts: SnapshotFacts,
    file: File,
    path: PathBuf,
    /// Whether the store is done with it.
    copied: bool,
}

impl Snapshot<'_> {
    /// Copies all questions; the file is on the disk, whole and under its name, when this returns. `step` is told of
    /// questions copied.
    ///
    /// # Errors
    /// A question is damaged, the file cannot be written, or `step` ends it. There is no file then.
    pub fn run(mut self, step: &Step<'_>) -> Result<SnapshotFacts> {
        let total = self.facts.counts.questions;
        for slice in 1u32.. {
            let mut copying = self.store.copying.lock();
            let gone = || Error::Internal("the snapshot was ended by another".to_owned());
            let state = copying.as_mut().ok_or_else(gone)?;
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            if state.pending.is_empty() {
                let finished = copying.take().ok_or_else(gone)?;
                drop(copying); // no commit waits for the disk
                self.copied = true;
                finished.writer.finish()?;
                return Ok(self.facts.clone());
            }
            state.slice(self.store)?;
            let left = state.pending.len();
            MutexGuard::unlock_fair(copying); // a commit that waits goes first
            if slice.is_multiple_of(SLICES_TO_DISK) {
                self.file.sync_data().map_err(|e| Error::io("write the snapshot to disk", &self.path, e))?;
            }
            step(total - left, total)?;
        }
        Err(Error::Internal("2³² slices".to_owned()))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if !self.copied {
            *self.store.copying.lock() = None;
        }
    }
}
