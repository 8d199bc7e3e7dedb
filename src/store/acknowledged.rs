//! The note of the last acknowledged batch.
//!
//! sled recovers what it finds intact; it cannot say what it should have found. This file can: it is written and
//! fsynced after each commit, so a store that opens with an older batch than this has lost one.
//! Two slots are written in turn, so that a torn write leaves the other.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Bytes of a slot: batch, questions and FAQs as u64 in little endian, and their checksum.
const SLOT: usize = 28;

/// A bank's size at a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Number of the batch, from 1; 0 before the first.
    pub batch: u64,
    pub questions: u64,
    /// Distinct FAQ ids.
    pub faqs: u64,
}

impl Counts {
    pub(super) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip([self.batch, self.questions, self.faqs]) {
            *place = number.to_le_bytes();
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([batch, questions, faqs], []) = bytes.as_chunks::<8>() else { return None };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        Some(Self { batch: number(batch), questions: number(questions), faqs: number(faqs) })
    }
}

/// The file `acknowledged` of a bank.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: File,
    path: PathBuf,
}

impl Acknowledged {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        Ok(Self { file: file.map_err(|e| Error::io("open the note of acknowledged batches", &path, e))?, path })
    }

    /// Notes `counts`; on the disk when this returns.
    pub(super) fn write(&self, counts: Counts) -> Result<()> {
        let bytes = counts.to_bytes();
        let slot = [&bytes[..], &crc32fast::hash(&bytes).to_le_bytes()].concat();
        let place = counts.batch % 2 * SLOT as u64;
        self.file
            .write_all_at(&slot, place)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io("note an acknowledged batch", &self.path, e))
    }

    /// The newest intact note of the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or has no intact slot.
    pub(super) fn read(path: &Path) -> Result<Counts> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read the note of acknowledged batches", path, e))?;
        let intact = bytes.chunks(SLOT).filter_map(|slot| {
            let (bytes, sum) = slot.split_at_checked(SLOT - 4)?;
            (crc32fast::hash(bytes).to_le_bytes() == sum).then(|| Counts::from_bytes(bytes))?
        });
        intact.max_by_key(|counts| counts.batch).ok_or_else(|| Error::corrupt(path, "it has no intact slot"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_write_leaves_the_note_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acknowledged");
        let note = Acknowledged::open(path.clone()).unwrap();
        for batch in 0..5 {
            note.write(Counts { batch, questions: batch * 10, faqs: batch }).unwrap();
        }
        assert_eq!(Acknowledged::read(&path).unwrap(), Counts { batch: 4, questions: 40, faqs: 4 });
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1; // batch 4 is in slot 0
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Acknowledged::read(&path).unwrap(), Counts { batch: 3, questions: 30, faqs: 3 });
        bytes[SLOT] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(Acknowledged::read(&path).is_err());
    }
}
