//! The folder of all banks: making, listing and removing them so that a crash leaves a whole bank or none.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};

use super::acknowledged::{Acknowledged, Counts};
use super::questions::Store;
use super::whole_file::WholeFile;
use super::{FORMAT, OLDEST, questions};
use crate::{Error, Result};

/// What never changes in a bank's life; `bank.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankFacts {
    /// See [`FORMAT`].
    pub format: u32,
    pub model_fingerprint: String,
    /// Width of the vectors.
    pub dimension: usize,
    pub description: String,
    /// How graphs see the vectors, by a name of the caller's; the caller's default where it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub quantisation: String,
}

/// Purposes of drafts, in their names: `.new-…`, `.deleted-…` and `.spool-…`.
const MADE: &str = "new";
const REMOVED: &str = "deleted";
pub(super) const SPOOLED: &str = "spool";
const DRAFTS: [&str; 3] = [MADE, REMOVED, SPOOLED];

/// How long a lock may seem taken that this process has just let go of: a process that it starts meanwhile has copies of
/// all its locks until it is running.
const STARTING: Duration = Duration::from_millis(500);

/// The folder `<data>/banks`. A bank is made under a name with a leading dot and renamed when it is whole; it is
/// renamed back before it is removed. So a folder without the dot is a bank, and one with it is litter.
#[derive(Debug, Clone)]
pub struct Banks {
    root: PathBuf,
}

impl Banks {
    /// Opens `<data>/banks`, makes it where it is missing, and clears away what a crash left half made or half removed.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(data: &Path) -> Result<Self> {
        let root = data.join("banks");
        fs::create_dir_all(&root).map_err(|e| Error::io("make the folder of banks", &root, e))?;
        let this = Self { root };
        for name in this.entries()? {
            if DRAFTS.iter().any(|purpose| name.starts_with(&format!(".{purpose}-"))) {
                let path = this.root.join(name);
                // Litter that another process still works on is locked, and is left to it.
                if let Ok(_lock) = lock_within(&path, "litter", Duration::ZERO)
                    && let Err(error) = fs::remove_dir_all(&path)
                {
                    tracing::warn!(path = %path.display(), %error, "a half-made bank could not be cleared away");
                }
            }
        }
        Ok(this)
    }

    /// The folder of the bank `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Names of all banks, sorted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = self.entries()?;
        names.retain(|name| !name.starts_with('.') && self.exists(name));
        names.sort_unstable();
        Ok(names)
    }

    /// Whether there is a bank of this name.
    pub fn exists(&self, name: &str) -> bool {
        self.path(name).join("bank.json").is_file()
    }

    fn entries(&self) -> Result<Vec<String>> {
        let failed = |e| Error::io("list the banks", &self.root, e);
        let entries = fs::read_dir(&self.root).map_err(failed)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect::<Result<_, _>>().map_err(failed)
    }

    /// What `bank.json` says.
    ///
    /// # Errors
    /// There is no such bank, its file is damaged, or it was written by a newer program.
    pub fn facts(&self, name: &str) -> Result<BankFacts> {
        let path = self.path(name).join("bank.json");
        let bytes = fs::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound {
                kind: "bank",
                name: name.to_owned(),
                hint: format!("`simbert bank list` shows the banks of {}", self.root.display()),
            },
            _ => Error::io("read the bank's description", &path, e),
        })?;
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |e| Error::corrupt(&path, format!("expected the facts of a bank in JSON: {e}"));
        let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if !(OLDEST..=FORMAT).contains(&format) {
            return Err(Error::invalid(
                format!("format of bank `{name}`"),
                format!("{OLDEST} to {FORMAT}, those that this version of simbert reads"),
                format!("{format}; open it with the version that wrote it"),
            ));
        }
        serde_json::from_slice(&bytes).map_err(damaged)
    }

    /// Notes that the bank is of the newest format, so that no older program opens it. What an older one wrote is as
    /// the newest would have it; only the caller has the bank open.
    ///
    /// # Errors
    /// The description cannot be written.
    pub(super) fn upgrade(&self, name: &str, facts: &BankFacts) -> Result<()> {
        let path = self.path(name).join("bank.json");
        let mut file = WholeFile::create(&path, true)?;
        write_facts(&mut file, &BankFacts { format: FORMAT, ..facts.clone() }, &path)?;
        file.finish()?;
        tracing::info!(bank = name, from = facts.format, to = FORMAT, "raised a bank's format");
        Ok(())
    }

    /// The bank's size at its last acknowledged batch; read without opening it, so that it may be open elsewhere.
    ///
    /// # Errors
    /// The note cannot be read, or is damaged.
    pub fn counts(&self, name: &str) -> Result<Counts> {
        Acknowledged::read(&self.path(name).join("acknowledged"))
    }

    /// Bytes of all files of the bank.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn bytes_on_disk(&self, name: &str) -> Result<u64> {
        fn size(folder: &Path) -> std::io::Result<u64> {
            fs::read_dir(folder)?.try_fold(0, |sum, entry| {
                let entry = entry?;
                let bytes = match entry.metadata() {
                    Ok(found) if found.is_dir() => size(&entry.path())?,
                    Ok(found) => found.len(),
                    Err(_) => 0, // sled removes old files of its own at any time
                };
                Ok(sum + bytes)
            })
        }
        let path = self.path(name);
        size(&path).map_err(|e| Error::io("measure the bank", &path, e))
    }

    /// Makes an empty bank; whole and on the disk when this returns.
    ///
    /// # Errors
    /// The bank is there already, or a file cannot be written.
    pub fn create(&self, name: &str, facts: &BankFacts) -> Result<()> {
        self.draft(name, facts)?.finish()
    }

    /// Makes an empty bank that has no name yet.
    ///
    /// # Errors
    /// A bank of the name that it will have is there already, or a file cannot be written.
    pub(super) fn draft(&self, name: &str, facts: &BankFacts) -> Result<Draft<'_>> {
        self.check_free(name)?;
        self.draft_beside(name, facts)
    }

    /// As [`Banks::draft`], beside a bank of that name.
    pub(super) fn draft_beside(&self, name: &str, facts: &BankFacts) -> Result<Draft<'_>> {
        let (path, lock) = self.draft_folder(MADE, name)?;
        let draft = Draft { banks: self, name: name.to_owned(), path, lock, finished: false };
        fill(&draft.path, facts)?;
        Ok(draft)
    }

    /// A folder that is litter unless it is held, and the lock that holds it.
    pub(super) fn draft_folder(&self, purpose: &str, name: &str) -> Result<(PathBuf, File)> {
        let path = self.root.join(draft_name(purpose, name));
        fs::create_dir(&path).map_err(|e| Error::io("make a folder beside the banks", &path, e))?;
        let lock = lock(&path, name)?;
        Ok((path, lock))
    }

    /// Refuses a name that a bank has.
    ///
    /// # Errors
    /// There is such a bank.
    pub fn check_free(&self, name: &str) -> Result<()> {
        if self.path(name).exists() { Err(exists(name)) } else { Ok(()) }
    }

    /// Removes a bank. `held` says that this process has it open; otherwise it must not be open anywhere.
    ///
    /// # Errors
    /// There is no such bank, another process has it open, or its folder cannot be moved.
    pub fn delete(&self, name: &str, held: bool) -> Result<()> {
        if let Err(missing @ Error::NotFound { .. }) = self.facts(name) {
            return Err(missing); // a damaged bank can be deleted
        }
        let path = self.path(name);
        let _lock = if held { None } else { Some(lock(&path, name)?) };
        let litter = self.root.join(draft_name(REMOVED, name));
        fs::rename(&path, &litter).map_err(|e| Error::io("move the bank out of the way", &path, e))?;
        sync(&self.root)?;
        if let Err(error) = fs::remove_dir_all(&litter) {
            // The bank is gone all the same; its litter is cleared away when the folder is next opened.
            tracing::warn!(path = %litter.display(), %error, "a deleted bank's files could not be removed");
        }
        Ok(())
    }
}

/// A bank on its way, under a name that no bank has. Dropped before [`Draft::finish`], it is removed.
pub(super) struct Draft<'a> {
    banks: &'a Banks,
    name: String,
    path: PathBuf,
    /// Held until the end, or another process takes the draft for litter.
    lock: File,
    finished: bool,
}

impl Draft<'_> {
    /// Opens the draft, to be filled.
    pub(super) fn store(&self, facts: &BankFacts) -> Result<Store> {
        let lock = self.lock.try_clone().map_err(|e| Error::io("open the bank's lock", &self.path, e))?;
        Store::open_in(self.path.clone(), &self.name, facts.dimension, lock)
    }

    /// Puts the draft, which is closed, on the disk and gives it its name.
    ///
    /// # Errors
    /// A bank of this name came meanwhile, or the disk fails.
    pub(super) fn finish(mut self) -> Result<()> {
        questions::wait_for_sled(&self.path)?;
        sync_all(&self.path)?;
        let path = self.banks.path(&self.name);
        fs::rename(&self.path, &path).map_err(|e| match e.kind() {
            std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => exists(&self.name),
            _ => Error::io("move the new bank into place", &path, e),
        })?;
        self.finished = true;
        sync(&self.banks.root)
    }

    /// Puts the draft, which is closed, on the disk and in the place of the bank of its name, which is removed. The
    /// caller holds that bank's lock.
    ///
    /// # Errors
    /// The disk fails, or its file system cannot exchange two names.
    pub(super) fn replace(self) -> Result<()> {
        questions::wait_for_sled(&self.path)?;
        sync_all(&self.path)?;
        let path = self.banks.path(&self.name);
        rustix::fs::renameat_with(CWD, &self.path, CWD, &path, RenameFlags::EXCHANGE)
            .map_err(|e| Error::io("exchange the old bank and the new one", &path, e.into()))?;
        sync(&self.banks.root) // and the old bank, which has the draft's name now, goes as a draft does
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_dir_all(&self.path); // litter otherwise, cleared away when the folder is next opened
        }
    }
}

fn exists(name: &str) -> Error {
    let hint = "choose another name, or delete it first".to_owned();
    Error::AlreadyExists { kind: "bank", name: name.to_owned(), hint }
}

/// Writes an empty bank's files into its draft.
fn fill(draft: &Path, facts: &BankFacts) -> Result<()> {
    let db = questions::open_sled(draft)?;
    db.flush().map_err(|e| Error::store("make the bank", e))?;
    drop(db);
    Acknowledged::open(draft.join("acknowledged"))?.write(Counts::default())?;
    let path = draft.join("bank.json");
    let mut file = File::create(&path).map_err(|e| Error::io("write the bank's description", &path, e))?;
    write_facts(&mut file, facts, &path)
}

fn write_facts(file: &mut dyn Write, facts: &BankFacts, path: &Path) -> Result<()> {
    let json = serde_json::to_vec_pretty(facts).map_err(|e| Error::Internal(e.to_string()))?;
    file.write_all(&json).map_err(|e| Error::io("write the bank's description", path, e))
}

/// A name that no bank has, and no other draft.
fn draft_name(purpose: &str, name: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!(".{purpose}-{name}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Locks the bank in `folder` for this process, until the file is dropped.
pub(super) fn lock(folder: &Path, name: &str) -> Result<File> {
    lock_within(folder, name, STARTING)
}

fn lock_within(folder: &Path, name: &str, patience: Duration) -> Result<File> {
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|e| Error::io("open the bank's lock", &path, e))?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(STARTING / 50),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Unavailable {
                    what: format!("bank `{name}`"),
                    reason: "another process has it open; stop that process, or send it your request instead"
                        .to_owned(),
                });
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("lock the bank", &path, e)),
        }
    }
}

/// Makes a file, or the names in a folder, survive a power cut.
fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| Error::io("write to disk", path, e))
}

/// Makes a folder and all in it survive a power cut.
fn sync_all(folder: &Path) -> Result<()> {
    let failed = |e| Error::io("list the bank's files", folder, e);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => sync_all(&entry.path())?,
            _ => sync(&entry.path())?,
        }
    }
    sync(folder)
}
