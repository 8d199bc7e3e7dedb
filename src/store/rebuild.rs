//! A bank made anew: the questions of another one, with other vectors.

use std::collections::HashSet;

use super::folder::{BankFacts, Banks};
use super::questions::{Change, Store};
use super::record::Record;
use super::snapshot::Step;
use crate::{Error, Result};

/// Questions that get their vectors, and are committed, at once.
const AT_ONCE: usize = 512;

/// Gives one vector for each record.
pub type Vectors<'a> = dyn FnMut(&[Record]) -> Result<Vec<Vec<f32>>> + 'a;

impl Banks {
    /// Makes the bank `name` of the questions of `old` and of other vectors. Where `name` is
    /// that of `old`, it takes its place in one step: after a crash the one or the other is there, whole. `step` is told
    /// of questions stored. Returns how many there are.
    ///
    /// # Errors
    /// There is another bank of this name, a question is damaged, `vectors` or the disk fails, or `step` ends it. The old
    /// bank is as it was then, and no new one is there.
    pub fn rebuild(
        &self,
        old: Store,
        name: &str,
        facts: &BankFacts,
        vectors: &mut Vectors<'_>,
        step: &Step<'_>,
    ) -> Result<u64> {
        let replaces = name == old.name;
        let draft = if replaces { self.draft_beside(name, facts)? } else { self.draft(name, facts)? };
        let store = draft.store(facts)?;
        let (ids, total): (Vec<u32>, u64) = (old.live()?.iter().collect(), old.counts().questions);
        if ids.len() as u64 != total {
            return Err(Error::corrupt(&old.path, format!("expected {total} questions, found {}", ids.len())));
        }
        let (mut questions, mut faqs) = (0, HashSet::new());
        for ids in ids.chunks(AT_ONCE) {
            let lacking = |id: &u32| Error::corrupt(&old.path, format!("question {id} lacks its record"));
            let records =
                ids.iter().map(|id| old.record(*id)?.ok_or_else(|| lacking(id))).collect::<Result<Vec<_>>>()?;
            let vectors = vectors(&records)?;
            if vectors.len() != records.len() {
                return Err(Error::Internal(format!("{} questions got {} vectors", records.len(), vectors.len())));
            }
            faqs.extend(records.iter().filter_map(|record| record.faq_id.clone()));
            questions += records.len() as u64;
            let changes = ids.iter().zip(records).zip(vectors);
            let changes = changes.map(|((&id, record), vector)| Change::Insert { id, record, vector });
            store.apply(&changes.collect::<Vec<_>>(), questions, faqs.len() as u64)?;
            step(questions, total)?;
        }
        store.make_durable()?;
        drop(store);
        if replaces {
            draft.replace()?
        } else {
            draft.finish()?
        }
        drop(old); // its lock is held until its folder is gone
        Ok(questions)
    }
}
