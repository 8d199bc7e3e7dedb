//! A bank as one file, and back.

use std::path::Path;

use super::files::checked;
use super::{Bank, BankName, Engine, SnapshotFacts};
use crate::Result;
use crate::index::Progress;
use crate::store::{SnapshotFile, Stored};

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
        let shared = self.live()?;
        let snapshot = {
            let _no_commits = shared.writing.lock();
            shared.check_not_deleted()?; // while we waited
            shared.store.make_durable()?; // what is copied is acknowledged
            let live = shared.catalogue.read().live().clone();
            shared.store.begin_snapshot(live, &shared.facts(), file, replace)?
        };
        snapshot.run(progress)
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
        let file = SnapshotFile::open(file)?;
        let name = name.map_or_else(|| BankName::new(&file.facts().bank), |name| Ok(name.clone()))?;
        let mut check = check_of(&file);
        let facts = self.shared.banks.restore(file, name.as_str(), &mut check, progress)?;
        Ok((name, facts))
    }

    /// Reads all of a snapshot and checks it as [`Engine::restore`] does, and makes nothing of it.
    ///
    /// # Errors
    /// The file is damaged, or no snapshot.
    pub fn check_snapshot(file: &Path, progress: &Progress<'_>) -> Result<SnapshotFacts> {
        let file = SnapshotFile::open(file)?;
        let mut check = check_of(&file);
        file.read(&mut check, &mut |_, _| Ok(()), progress)
    }
}

/// Refuses a question of `file` that no bank could hold.
fn check_of(file: &SnapshotFile) -> impl FnMut(&Stored) -> Result<()> + use<> {
    let dimension = file.facts().facts.dimension;
    move |stored| checked(stored.record.clone(), &stored.vector, dimension).map(drop)
}
