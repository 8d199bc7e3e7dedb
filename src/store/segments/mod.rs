//! Vectors that have left sled: in files beside it, which sled's manifest names.
//!
//! A vector is committed to sled with its record, or, where many come at once, to a file of their own. Whoever makes a
//! graph of vectors has them kept as one file with it ([`Store::keep`]): the file is whole and on the disk before the
//! manifest names it, and what it replaces is removed after. So at each moment every vector is in one place at least.
//! A file that no manifest names is what a crash left.

mod file;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;
use prost::Message;
use roaring::RoaringBitmap;
use sled::{Batch, Tree};

pub use file::{SegmentFile, SegmentParts};

use super::attempt::attempt;
use super::parts::{self, Kind};
use super::questions::Store;
use super::room;
use crate::{Error, Result};

/// Vectors that are removed from sled in one batch once they are in a file.
const CLEARED_AT_ONCE: usize = 1024;

/// What the manifest says of a file.
#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(uint64, tag = "1")]
    vectors: u64,
    #[prost(uint32, tag = "2")]
    fingerprint: u32,
}

/// The files of a bank.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    dimension: usize,
    files: RwLock<Arc<Files>>,
    next: AtomicU32,
}

/// By their numbers.
#[derive(Debug, Clone, Default)]
struct Files {
    whole: BTreeMap<u32, Arc<SegmentFile>>,
    /// What is wrong with each of the others.
    lost: BTreeMap<u32, String>,
}

fn file_name(number: u32) -> String {
    format!("{number}.seg")
}

impl Segments {
    /// Opens the files that the manifest names, and removes all others.
    ///
    /// # Errors
    /// The manifest cannot be read, or the folder. A file that is damaged is noted.
    pub(super) fn open(tree: &Tree, path: &Path, dimension: usize) -> Result<Self> {
        let folder = path.join("segments");
        fs::create_dir_all(&folder).map_err(|e| Error::io("make the folder of segments", &folder, e))?;
        let mut files = Files::default();
        for (number, bytes) in parts::scan(tree, path, Kind::Segment, 0..=u32::MAX) {
            let malformed = |e| Error::corrupt(path, format!("entry {number} of the manifest is malformed: {e}"));
            let entry = Entry::decode(&*bytes?).map_err(malformed)?;
            let opened = SegmentFile::open(&folder.join(file_name(number)), number, dimension).and_then(|file| {
                let found = Entry { vectors: file.ids().len() as u64, fingerprint: file.fingerprint() };
                (found == entry)
                    .then_some(file)
                    .ok_or_else(|| Error::corrupt(&folder, "it is not the one that was kept"))
            });
            match opened {
                Ok(file) => drop(files.whole.insert(number, Arc::new(file))),
                Err(Error::DataCorruption { comment, .. }) => {
                    files.lost.insert(number, format!("segment {number}: {comment}"));
                }
                Err(error) => return Err(error),
            }
        }
        let listed = fs::read_dir(&folder).map_err(|e| Error::io("list the segments", &folder, e))?;
        let mut next = files.whole.keys().chain(files.lost.keys()).max().map_or(0, |last| last + 1);
        for entry in listed {
            let path = entry.map_err(|e| Error::io("list the segments", &folder, e))?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
            if let Some(number) = number {
                next = next.max(number + 1);
            }
            if !number.is_some_and(|number| files.whole.contains_key(&number) || files.lost.contains_key(&number)) {
                tracing::debug!(path = %path.display(), "removing a segment that was not finished");
                fs::remove_file(&path).map_err(|e| Error::io("remove an unfinished segment", &path, e))?;
            }
        }
        Ok(Self { folder, dimension, files: RwLock::new(Arc::new(files)), next: AtomicU32::new(next) })
    }

    fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files.read())
    }

    fn change(&self, change: impl FnOnce(&mut Files)) {
        let mut files = self.files.write();
        change(Arc::make_mut(&mut files));
    }

    /// A new file, which the manifest does not name yet.
    pub(super) fn write(&self, parts: SegmentParts<'_>, reserve: u64) -> Result<Arc<SegmentFile>> {
        let derived: usize = parts.derived.iter().map(|(_, bytes)| bytes.len()).sum();
        let bytes = parts.ids.len() * 4 * (self.dimension + 2) + derived;
        if reserve > 0 {
            room::check(&self.folder, bytes as u64, reserve)?;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let file = SegmentFile::write(&self.folder.join(file_name(number)), number, self.dimension, parts)?;
        Ok(Arc::new(file))
    }

    /// Names a file in the manifest.
    pub(super) fn list(&self, batch: &mut Batch, file: &SegmentFile) {
        let entry = Entry { vectors: file.ids().len() as u64, fingerprint: file.fingerprint() };
        parts::put(batch, Kind::Segment, file.number(), &entry.encode_to_vec());
    }

    /// Has a file looked into from now on.
    pub(super) fn add(&self, file: &Arc<SegmentFile>) {
        self.change(|files| drop(files.whole.insert(file.number(), Arc::clone(file))));
    }

    /// Removes a file that the manifest does not name, or no longer. Whoever reads it goes on.
    pub(super) fn remove(&self, file: &SegmentFile) {
        self.change(|files| drop(files.whole.remove(&file.number())));
        if let Err(error) = fs::remove_file(file.path()) {
            // Nobody looks into it; it is cleared away when the bank is opened.
            tracing::warn!(path = %file.path().display(), %error, "a segment that was replaced could not be removed");
        }
    }

    /// The vector under an id, where one of the files has it.
    pub(super) fn vector(&self, id: u32) -> Result<Option<Vec<f32>>> {
        let files = self.files();
        let found = files.whole.values().find_map(|file| Some((file, file.ids().binary_search(&id).ok()?)));
        let Some((file, row)) = found else { return Ok(None) };
        Ok(file.vector(row)?.map(<[f32]>::to_vec))
    }

    /// Ids of all vectors in files.
    pub(super) fn members(&self) -> RoaringBitmap {
        self.files().whole.values().flat_map(|file| file.ids().iter().copied()).collect()
    }

    /// What is wrong with the files that could not be opened.
    pub(super) fn lost(&self) -> Option<String> {
        let files = self.files();
        let lost: Vec<&str> = files.lost.values().map(String::as_str).collect();
        (!lost.is_empty()).then(|| lost.join("; "))
    }
}

impl Store {
    /// The files of vectors that have left sled, by their numbers; those that are damaged as a whole are not among them.
    pub fn segments(&self) -> Vec<Arc<SegmentFile>> {
        self.segments.files().whole.values().map(Arc::clone).collect()
    }

    /// Ids that may not be given to other vectors while the files have them: of these, and of questions that are gone.
    pub fn ids_in_segments(&self) -> RoaringBitmap {
        self.segments.members()
    }

    /// Keeps vectors, and what was derived of them, as one file, and removes what is needless then: the same vectors in
    /// sled, and files all of whose vectors are in this one or `dead`. On the disk when this returns. May run beside
    /// commits, but not beside itself.
    ///
    /// # Errors
    /// The bank was retired, or the disk fails or has no room. Nothing was removed then.
    pub fn keep(&self, parts: SegmentParts<'_>, dead: &RoaringBitmap) -> Result<Arc<SegmentFile>> {
        let retired = self.retired.lock();
        self.refuse_retired(*retired)?;
        let file = self.segments.write(parts, self.reserve)?;
        let members: RoaringBitmap = file.ids().iter().copied().collect();
        self.segments.add(&file);
        let replaced = self.replaced_by(&(&members | dead), Some(file.number()));
        if let Err(error) = self.commit_manifest(Some(&file), &replaced) {
            self.segments.remove(&file);
            return Err(error);
        }
        self.clear_away(&(parts::ids(&self.db, &self.path, Kind::Vector)? & members))?;
        Ok(file)
    }

    /// Removes files all of whose vectors are `dead`.
    ///
    /// # Errors
    /// See [`Store::keep`].
    pub fn forget(&self, dead: &RoaringBitmap) -> Result<()> {
        let retired = self.retired.lock();
        self.refuse_retired(*retired)?;
        match &self.replaced_by(dead, None)[..] {
            [] => Ok(()),
            replaced => self.commit_manifest(None, replaced),
        }
    }

    /// Has no more files made: the bank's folder is about to go. Waits for one that is being made.
    pub fn retire(&self) {
        *self.retired.lock() = true;
    }

    fn refuse_retired(&self, retired: bool) -> Result<()> {
        if !retired {
            return Ok(());
        }
        Err(Error::Unavailable { what: format!("bank `{}`", self.name), reason: "it is being deleted".to_owned() })
    }

    fn replaced_by(&self, ids: &RoaringBitmap, but: Option<u32>) -> Vec<Arc<SegmentFile>> {
        let replaced =
            |file: &Arc<SegmentFile>| Some(file.number()) != but && file.ids().iter().all(|&id| ids.contains(id));
        self.segments().into_iter().filter(replaced).collect()
    }

    /// Makes the manifest name one file and no longer some others, and removes these.
    fn commit_manifest(&self, added: Option<&SegmentFile>, replaced: &[Arc<SegmentFile>]) -> Result<()> {
        let mut batch = Batch::default();
        if let Some(file) = added {
            self.segments.list(&mut batch, file);
        }
        for file in replaced {
            parts::remove(&self.db, &self.path, &mut batch, Kind::Segment, file.number())?;
        }
        self.apply_and_flush(batch)?;
        replaced.iter().for_each(|file| self.segments.remove(file));
        Ok(())
    }

    /// Removes vectors from sled that are in a file too. What a crash leaves of them does no harm.
    pub(super) fn clear_away(&self, doubled: &RoaringBitmap) -> Result<()> {
        let doubled: Vec<u32> = doubled.iter().collect();
        for ids in doubled.chunks(CLEARED_AT_ONCE) {
            let mut batch = Batch::default();
            ids.iter().try_for_each(|&id| parts::remove(&self.db, &self.path, &mut batch, Kind::Vector, id))?;
            attempt(&self.path, "remove vectors that are in a segment", || self.db.apply_batch(batch))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
