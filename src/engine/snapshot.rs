//! A bank as one file, and back.

use std::path::Path;

use super::files::checked;
use super::{Bank, BankName, BankSettings, BankStatus, Engine, SnapshotFacts};
use crate::index::Progress;
use crate::store::{SnapshotFile, Spool, Step, Stored};
use crate::{Error, Result};

impl Bank {
    /// Copies the bank, as it is at one batch, into one file that [`Engine::restore`] makes a bank of. Searches and
    /// writes go on meanwhile; a write first copies what it replaces, where that is still to copy. The file is whole
    /// and on the disk when this returns, and not there before. `replace` says whether it may take another file's
    /// place. `progress` is told of questions copied.
    ///
    /// # Errors
    /// There is such a file, it cannot be written, another snapshot of the bank is being taken, a question is damaged,
    /// or the bank was deleted.
    pub fn snapshot(&self, file: &Path, replace: bool, progress: &Progress<'_>) -> Result<SnapshotFacts> {
        self.snapshot_in_steps(file, replace, &reported(progress))
    }

    /// As [`Bank::snapshot`], into a file of the data folder that passes through: for a caller elsewhere. It leaves the
    /// banks the room that they need on the disk. `step` is told of questions copied, and may end the copying.
    ///
    /// # Errors
    /// See [`Bank::snapshot`]; the disk has no room, or `step` ends it.
    pub fn spool(&self, step: &Step<'_>) -> Result<(SnapshotFacts, Spool)> {
        let spool = self.live()?.banks.spool(self.name().as_str())?;
        let facts = self.snapshot_in_steps(&spool.path(), false, &|done, total| {
            spool.check_room()?;
            step(done, total)
        })?;
        Ok((facts, spool))
    }

    fn snapshot_in_steps(&self, file: &Path, replace: bool, step: &Step<'_>) -> Result<SnapshotFacts> {
        let shared = self.live()?;
        let snapshot = {
            let _no_commits = shared.writing.lock();
            shared.check_not_deleted()?; // while we waited
            shared.store.make_durable()?; // what is copied is acknowledged
            let live = shared.catalogue.read().live().clone();
            shared.store.begin_snapshot(live, &shared.facts(), file, replace)?
        };
        snapshot.run(step)
    }
}

impl Engine {
    /// Makes a bank of a snapshot, under the name of the bank that it is of where `name` gives none. The bank is whole
    /// when this returns, and not there before. It keeps the fingerprint of the model that encoded it, which need not
    /// be this engine's. `progress` is told of questions read.
    ///
    /// # Errors
    /// There is such a bank, the file is damaged or no snapshot, or the disk fails. Nothing is left then.
    pub fn restore(
        &self,
        file: &Path,
        name: Option<&BankName>,
        progress: &Progress<'_>,
    ) -> Result<(BankName, SnapshotFacts)> {
        self.restore_in_steps(SnapshotFile::open(file)?, name, &reported(progress))
    }

    /// An empty place for a snapshot that a caller elsewhere sends, of which [`Engine::restore_spool`] makes a bank.
    ///
    /// # Errors
    /// There is a bank of the name that the restored one is to have, or the disk fails.
    pub fn spool(&self, name: Option<&BankName>) -> Result<Spool> {
        if let Some(name) = name {
            self.shared.banks.check_free(name.as_str())?; // before all of it is sent
        }
        let spool = self.shared.banks.spool(name.map_or("received", BankName::as_str))?;
        spool.append(&[])?; // nothing sent is an empty file
        Ok(spool)
    }

    /// As [`Engine::restore`], of a file that was sent; says what the bank is and holds. `step` is told of questions
    /// stored, and may end the work.
    ///
    /// # Errors
    /// See [`Engine::restore`]; a damaged file is the caller's, and so [`Error::Invalid`].
    pub fn restore_spool(&self, spool: &Spool, name: Option<&BankName>, step: &Step<'_>) -> Result<BankStatus> {
        let sent = Path::new("the snapshot");
        let restored =
            SnapshotFile::open_as(&spool.path(), sent).and_then(|file| self.restore_in_steps(file, name, step));
        let (name, _) = restored.map_err(|error| match error {
            Error::DataCorruption { path, comment } if path == sent => {
                Error::invalid("the snapshot", "a whole one", format!("one that is damaged: {comment}"))
            }
            error => error,
        })?;
        self.status(name)
    }

    fn restore_in_steps(
        &self,
        file: SnapshotFile,
        name: Option<&BankName>,
        step: &Step<'_>,
    ) -> Result<(BankName, SnapshotFacts)> {
        let name = name.map_or_else(|| BankName::new(&file.facts().bank), |name| Ok(name.clone()))?;
        BankSettings::of(&file.facts().facts)?;
        let mut check = check_of(&file);
        let facts = self.shared.banks.restore(file, name.as_str(), &mut check, step)?;
        Ok((name, facts))
    }

    /// Reads all of a snapshot and checks it as [`Engine::restore`] does, and makes nothing of it.
    ///
    /// # Errors
    /// The file is damaged, or no snapshot.
    pub fn check_snapshot(file: &Path, progress: &Progress<'_>) -> Result<SnapshotFacts> {
        Self::check_snapshot_file(SnapshotFile::open(file)?, progress)
    }

    /// As [`Engine::check_snapshot`], of a file that is open.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn check_snapshot_file(file: SnapshotFile, progress: &Progress<'_>) -> Result<SnapshotFacts> {
        let mut check = check_of(&file);
        file.read(&mut check, &mut |_, _| Ok(()), progress)
    }
}

/// Steps that are told, and never end the work.
pub(super) fn reported(progress: &Progress<'_>) -> impl Fn(u64, u64) -> Result<()> + Sync {
    |done, total| {
        progress(done, total);
        Ok(())
    }
}

/// Refuses a question of `file` that no bank could hold.
fn check_of(file: &SnapshotFile) -> impl FnMut(&Stored) -> Result<()> + use<> {
    let dimension = file.facts().facts.dimension;
    move |stored| checked(stored.record.clone(), &stored.vector, dimension).map(drop)
}
