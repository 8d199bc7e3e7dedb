//! After a write that failed.
//!
//! What the disk holds is unknown then, and no later flush can tell. So a store refuses all writes until it is opened
//! anew, which reads what is there.

use std::fs::{self, File};
use std::io::Write;
use std::sync::atomic::Ordering;

use super::questions::Store;
use super::room;
use crate::{Error, Result};

/// Bytes that are written to see whether the disk takes any.
const PROBE: usize = 64 << 10;

impl Store {
    /// Whether a write failed, so that all later ones are refused.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether the disk takes writes again: it has room, and a small file can be written to it.
    ///
    /// # Errors
    /// It does not.
    pub fn check_disk(&self) -> Result<()> {
        room::check(&self.path, PROBE as u64, self.reserve)?;
        let path = self.path.join("probe");
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&[0; PROBE])?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        written.and(removed).map_err(|e| Error::io("write to the disk", &path, e))
    }

    /// Has a snapshot that is being taken end with an error, at its next slice: the store is about to be closed.
    pub fn give_up_snapshot(&self) {
        if let Some(copying) = &mut *self.copying.lock() {
            copying.give_up(Error::Unavailable {
                what: format!("bank `{}`", self.name),
                reason: "a write to it failed, and it is opened anew; take the snapshot again".to_owned(),
            });
        }
    }

    /// As after a write that failed.
    #[cfg(test)]
    pub fn pretend_failure(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Notes that a write failed.
    pub(super) fn fail(&self, error: Error) -> Error {
        self.failed.store(true, Ordering::Release);
        error
    }

    /// # Errors
    /// A write failed.
    pub(super) fn refuse_failed(&self) -> Result<()> {
        if !self.has_failed() {
            return Ok(());
        }
        Err(Error::Unavailable {
            what: format!("bank `{}`", self.name),
            reason: "an earlier write to it failed; check the disk, then send the write again".to_owned(),
        })
    }
}
