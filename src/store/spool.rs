//! A snapshot that passes through, on its way to or from a caller elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use super::folder::{Banks, SPOOLED};
use super::room;
use crate::{Error, Result};

/// Bytes that are written between two looks at the disk's room, at most: a slice of a snapshot with a large question.
const STEP: u64 = 4 << 20;

/// A place for one file in a folder of its own beside the banks, which is removed when this is dropped. What a killed
/// process leaves is litter, as a bank is that was half made: it goes when the folder of banks is next opened.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// Held until the end, or another process takes the folder for litter.
    _lock: File,
}

impl Banks {
    /// Makes an empty place for a snapshot of the bank `name`.
    ///
    /// # Errors
    /// The disk fails.
    pub fn spool(&self, name: &str) -> Result<Spool> {
        let (folder, lock) = self.draft_folder(SPOOLED, name)?;
        Ok(Spool { folder, _lock: lock })
    }
}

impl Spool {
    /// Where the snapshot is, or will be.
    pub fn path(&self) -> PathBuf {
        self.folder.join("snapshot")
    }

    /// Refuses to go on where the file would take the room that the banks on the same disk need. To be asked before each
    /// few mebibytes.
    ///
    /// # Errors
    /// Says how much is left, and how much is wanted.
    pub fn check_room(&self) -> Result<()> {
        room::check(&self.folder, STEP, room::RESERVE)
    }

    /// Writes to the end of the file. It need not survive a power cut, so nothing is fsynced.
    ///
    /// # Errors
    /// The disk fails, or has no room.
    pub fn append(&self, bytes: &[u8]) -> Result<()> {
        room::check(&self.folder, bytes.len() as u64, room::RESERVE)?;
        let path = self.path();
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(bytes)).map_err(|e| Error::io("write the snapshot", &path, e))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder); // litter otherwise, cleared away when the folder is next opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_and_what_is_used_stays() {
        let data = tempfile::tempdir().unwrap();
        let banks = Banks::open(data.path()).unwrap();
        let entries = || fs::read_dir(data.path().join("banks")).unwrap().count();
        let spool = banks.spool("faq").unwrap();
        spool.append(b"one ").unwrap();
        spool.append(b"two").unwrap();
        assert_eq!(fs::read(spool.path()).unwrap(), b"one two");
        let left = data.path().join("banks/.spool-faq-1-0");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("snapshot"), "half").unwrap();
        assert_eq!(Banks::open(data.path()).unwrap().names().unwrap(), [""; 0]);
        assert!(spool.path().exists() && !left.exists());
        drop(spool);
        assert_eq!(entries(), 0);
    }
}
