//! A file that is there whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file under the name `<file>.part` and renames it when it is whole and on the disk, so that no half file is
/// ever found under its own name. Dropped before [`WholeFile::finish`], it removes what it wrote; what a killed process
/// left is written over by the next one. Two processes that write one file are told apart by a lock on the part.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    part: PathBuf,
    file: File,
    replace: bool,
    finished: bool,
}

impl WholeFile {
    /// Begins a file at `path`; one that is there already is refused, unless it is to be replaced.
    ///
    /// # Errors
    /// There is such a file, another process writes it, or its folder cannot be written.
    pub fn create(path: &Path, replace: bool) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(Error::invalid("file", "a path that ends in a file's name", path.display()));
        };
        let mut part = name.to_owned();
        part.push(".part");
        let part = path.with_file_name(part);
        refuse_existing(path, replace)?;
        let file = open_locked(&part)?;
        file.set_len(0).map_err(|e| Error::io("begin the file", &part, e))?;
        Ok(Self { path: path.to_owned(), part, file, replace, finished: false })
    }

    /// Where the file will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where what is written lies until then.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Another handle of what is being written, to put it on the disk bit by bit.
    ///
    /// # Errors
    /// The process has too many files open.
    pub fn handle(&self) -> Result<File> {
        self.file.try_clone().map_err(|e| Error::io("open the file once more", &self.part, e))
    }

    /// Puts the file on the disk and gives it its name.
    ///
    /// # Errors
    /// The disk fails, or another file came under the name meanwhile.
    pub fn finish(mut self) -> Result<()> {
        self.file.sync_all().map_err(|e| Error::io("write the file to disk", &self.part, e))?;
        refuse_existing(&self.path, self.replace)?;
        fs::rename(&self.part, &self.path).map_err(|e| Error::io("move the file into place", &self.path, e))?;
        self.finished = true;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| Error::io("write the file's name to disk", folder, e))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.part); // the next one writes over it
        }
    }
}

fn refuse_existing(path: &Path, replace: bool) -> Result<()> {
    // A folder of this name cannot be replaced, and a dangling link is something too.
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(found) if found.is_dir() => {
            Err(Error::invalid("file", "a file's name", format!("a folder, {}", path.display())))
        }
        Ok(_) if replace => Ok(()),
        Ok(_) => Err(Error::AlreadyExists {
            kind: "file",
            name: path.display().to_string(),
            hint: "choose another name, or pass `--force` to replace it".to_owned(),
        }),
    }
}

/// Opens the part and locks it. Whoever held the lock may have renamed the part meanwhile; then the lock is on a
/// finished file, and the part is opened anew.
fn open_locked(part: &Path) -> Result<File> {
    let failed = |e| Error::io("make the file", part, e);
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(part).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Unavailable {
                    what: part.display().to_string(),
                    reason: "another process writes it; wait for its end, or choose another name".to_owned(),
                });
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let ours = file.metadata().map_err(failed)?;
        if fs::metadata(part).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bank");
        let part = folder.path().join("a.bank.part");
        fs::write(&part, "left by a killed process, and longer").unwrap();
        let mut file = WholeFile::create(&path, false).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists() && part.exists());
        let second = WholeFile::create(&path, false).unwrap_err();
        assert!(matches!(second, Error::Unavailable { .. }), "{second}");
        file.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap(), part.exists()), (b"whole".to_vec(), false));
        let refused = WholeFile::create(&path, false).unwrap_err();
        assert!(refused.to_string().contains("`--force`"), "{refused}");
        drop(WholeFile::create(&path, true).unwrap());
        assert_eq!((fs::read(&path).unwrap(), part.exists()), (b"whole".to_vec(), false));
        assert!(matches!(WholeFile::create(folder.path(), true), Err(Error::Invalid { .. })));
        assert!(matches!(WholeFile::create(&path.join("b"), true), Err(Error::Io { .. })));
    }
}
