//! A bank's files, without the bank.

use std::collections::HashSet;
use std::path::Path;

use super::snapshot::reported;
use super::{BankName, Damage, Question, SnapshotFacts, Verification};
use crate::index::Progress;
use crate::store::{BankFacts, Banks, Record, Store};
use crate::{Error, Result};

/// Questions between two reports of progress.
const STEP: u64 = 256;

/// The files of a bank that nobody has open: for what needs neither its model nor its vectors in memory, and for what
/// is wanted of a bank that is damaged and does not open. All methods block.
pub struct BankFiles {
    facts: BankFacts,
    store: Store,
}

impl BankFiles {
    /// Opens the files of the bank `name` in the folder `data`.
    ///
    /// # Errors
    /// There is no such bank, it is open elsewhere, or sled cannot open it.
    pub fn open(data: &Path, name: &BankName) -> Result<Self> {
        let banks = Banks::open(data)?;
        let fingerprint = banks.facts(name.as_str())?.model_fingerprint;
        let (store, facts) = Store::open(&banks, name.as_str(), &fingerprint)?;
        Ok(Self { facts, store })
    }

    /// How many questions the last batch left.
    pub fn questions(&self) -> u64 {
        self.store.counts().questions
    }

    /// Reads every question and every vector, and tells which are damaged. `progress` is told of questions read.
    ///
    /// # Errors
    /// None about damage, which is what is reported.
    pub fn verify(&self, progress: &Progress<'_>) -> Result<Verification> {
        examine(&self.store, self.facts.dimension, progress)
    }

    /// As [`Bank::snapshot`](super::Bank::snapshot), of a bank that is not open.
    ///
    /// # Errors
    /// There is such a file, it cannot be written, or a question is damaged.
    pub fn snapshot(&self, file: &Path, replace: bool, progress: &Progress<'_>) -> Result<SnapshotFacts> {
        self.store.begin_snapshot(self.store.live()?, &self.facts, file, replace)?.run(&reported(progress))
    }

    /// Hands all questions to `each` in the order of their ids; vectors are not read. Returns how many there were.
    /// Damaged ones are passed over and given to `damaged`, or are an error where there is none. `progress` is told of
    /// questions handed over.
    ///
    /// # Errors
    /// A question is damaged, or `each` fails.
    pub fn export(
        &self,
        mut damaged: Option<&mut dyn FnMut(Damage)>,
        each: &mut dyn FnMut(Question) -> Result<()>,
        progress: &Progress<'_>,
    ) -> Result<u64> {
        let mut ids: Vec<(Box<str>, u32)> = Vec::new();
        let mut found = self.store.records(&mut |internal, record| {
            let id = record.id.clone().into_boxed_str();
            Question::from_record(record)?;
            ids.push((id, internal));
            Ok(())
        })?;
        match &mut damaged {
            Some(damaged) => found.damaged.drain(..).for_each(damaged),
            None => drop(self.store.whole(&found)?),
        }
        ids.sort_unstable();
        let total = ids.len() as u64;
        for (done, (id, internal)) in (1..).zip(ids) {
            let record = self.store.record(internal)?;
            let record =
                record.ok_or_else(|| Error::Internal(format!("question `{id}` went while it was exported")))?;
            each(Question::from_record(record)?)?;
            if done % STEP == 0 || done == total {
                progress(done, total);
            }
        }
        Ok(total)
    }
}

/// Looks at all of a store; see [`BankFiles::verify`].
pub(super) fn examine(store: &Store, dimension: usize, progress: &Progress<'_>) -> Result<Verification> {
    let (mut seen, mut ids) = (0, HashSet::new());
    let total = store.counts().questions;
    let found = store.verify(&mut |stored| {
        seen += 1;
        if seen % STEP == 0 {
            progress(seen, total.max(seen));
        }
        let question = checked(stored.record, &stored.vector, dimension)?;
        if !ids.insert(question.id) {
            return Err(Error::corrupt("a question", "its id is there twice"));
        }
        Ok(())
    })?;
    progress(total, total);
    Ok(found)
}

/// The question of a record that was read, where it and its vector are possible ones.
///
/// # Errors
/// Its record has an impossible value, or its vector is none.
pub(super) fn checked(record: Record, vector: &[f32], dimension: usize) -> Result<Question> {
    let damaged = |e: Error| Error::corrupt("a question's vector", e.to_string());
    crate::index::check_unit(vector, dimension).map_err(damaged)?;
    Question::from_record(record)
}
