//! Whether the disk has room for a write.
//!
//! sled 0.34 does not get over a full disk: its log is then refused until it is opened anew, and a thread that waits
//! for it may wait for good (`Log::exit_reservation` sets the error, but wakes nobody). So a write that might not fit
//! is refused before sled sees it, and the next one works as soon as there is room.

use std::path::Path;

use crate::{Error, Result};

/// Bytes that are left to sled for what it writes on its own: rewritten pages, snapshots of its page table.
pub(super) const RESERVE: u64 = 32 << 20;

/// How many bytes sled may write for each of a batch, with the pages that it touches.
pub(super) const AMPLIFICATION: u64 = 4;

/// Refuses to write `bytes` into `folder` where they and `reserve` might not fit. A file system that does not say how
/// much it has left is taken to have enough.
///
/// # Errors
/// Says how much is left, and how much is wanted.
pub(super) fn check(folder: &Path, bytes: u64, reserve: u64) -> Result<()> {
    let Ok(found) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let left = found.f_bavail.saturating_mul(found.f_frsize);
    let wanted = bytes.saturating_add(reserve);
    if left >= wanted {
        return Ok(());
    }
    Err(Error::DiskFull { path: folder.to_owned(), left, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_fit_is_refused_with_both_numbers() {
        let folder = std::env::temp_dir();
        check(&folder, 1, 0).unwrap();
        let refused = check(&folder, u64::MAX, 0).unwrap_err().to_string();
        assert!(refused.contains("is full (") && refused.contains("MiB are left, and a write needs"), "{refused}");
        check(Path::new("/none/such"), u64::MAX, 0).unwrap();
    }
}
