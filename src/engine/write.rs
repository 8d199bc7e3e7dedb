//! Writing to a bank: encode, commit, update memory, wait for the disk.

use std::collections::{BTreeSet, HashMap};

use roaring::RoaringBitmap;

use super::bank::Shared;
use super::lookup::unit;
use super::{Bank, Question, QuestionId, Timings};
use crate::index::VectorIndex;
use crate::store::Change;
use crate::{Error, Result};

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpsertOutcome {
    pub inserted: u64,
    pub updated: u64,
    /// How many of the updated ones were in the bank word for word: nothing was encoded or written for them.
    pub unchanged: u64,
}

/// Questions with their vectors, ready for [`Bank::commit`].
pub struct Prepared {
    incoming: Vec<Incoming>,
    timings: Timings,
}

impl Prepared {
    /// How long the encoding took.
    pub fn timings(&self) -> Timings {
        self.timings
    }
}

/// Internal ids to give away. An id names one text for as long as the bank is open; what deletions left free is given
/// away again once it is opened anew, so ids stay dense.
pub(super) struct FreeIds {
    holes: Vec<u32>,
    next: Option<u32>,
}

impl FreeIds {
    /// Those beside `live`.
    pub(super) fn beside(live: &RoaringBitmap) -> Self {
        let next = live.max().map_or(Some(0), |last| last.checked_add(1));
        let mut all = RoaringBitmap::new();
        all.insert_range(0..live.max().unwrap_or(0));
        let mut holes: Vec<u32> = (all - live).iter().collect();
        holes.reverse();
        Self { holes, next }
    }

    /// As many ids as wished, all of them or none. They are used up once the commit succeeded or may have.
    fn take(&mut self, n: usize) -> Result<Vec<u32>> {
        let fresh = n.saturating_sub(self.holes.len());
        let room = self.next.map_or(0, |next| u64::from(u32::MAX - next) + 1);
        if fresh as u64 > room {
            return Err(Error::Exhausted { what: "the bank".to_owned(), limit: "2³² questions".to_owned() });
        }
        let mut ids = self.holes.split_off(self.holes.len() - (n - fresh));
        for _ in 0..fresh {
            if let Some(id) = self.next {
                ids.push(id);
                self.next = id.checked_add(1);
            }
        }
        Ok(ids)
    }
}

/// A question on its way into the bank.
struct Incoming {
    question: Question,
    /// Its vector; none where the text is that of the internal id in `same`.
    vector: Option<Vec<f32>>,
    same: Option<u32>,
}

impl Bank {
    /// Encodes and commits the questions in one atomic batch; on the disk, and found by searches, when this returns.
    /// The last of several questions with one id wins. A question whose text is unchanged is not encoded again.
    /// Some hundred questions at a time keep readers undisturbed.
    ///
    /// # Errors
    /// A question is refused by [`Question::check`] (nothing is written then), the model or the disk fails.
    pub fn upsert(&self, questions: Vec<Question>) -> Result<UpsertOutcome> {
        self.commit(self.prepare(questions)?)
    }

    /// The slow half of [`Bank::upsert`]: encodes the questions whose text is not in the bank under their id. Several
    /// batches may be prepared side by side, and while others are committed.
    ///
    /// # Errors
    /// A question is refused by [`Question::check`], the model or the disk fails.
    pub fn prepare(&self, questions: Vec<Question>) -> Result<Prepared> {
        let shared = self.writable()?;
        let mut incoming = Vec::with_capacity(questions.len());
        for question in last_of_each(questions.into_iter().map(|question| (question, ())))?.into_iter().map(|(q, ())| q)
        {
            incoming.push(Incoming { same: shared.same_text(&question)?, question, vector: None });
        }
        let timings = shared.encode(incoming.iter_mut().filter(|incoming| incoming.same.is_none()))?;
        Ok(Prepared { incoming, timings })
    }

    /// The other half of [`Bank::upsert`]: commits in one atomic batch. Batches take effect in the order in which they
    /// are committed.
    ///
    /// # Errors
    /// The disk fails, or the model, where another batch has changed a text meanwhile.
    pub fn commit(&self, Prepared { incoming, .. }: Prepared) -> Result<UpsertOutcome> {
        let _span = tracing::debug_span!("store", questions = incoming.len()).entered();
        self.writable()?.commit(incoming)
    }

    /// As [`Bank::upsert`], with vectors of the caller's own, which are normalised first. They must be of the bank's
    /// model, or searches by text find nonsense.
    ///
    /// # Errors
    /// See [`Bank::upsert`]; a vector has another width, is zero, or is not finite.
    pub fn upsert_with_vectors(&self, questions: Vec<(Question, Vec<f32>)>) -> Result<UpsertOutcome> {
        let shared = self.writable()?;
        let dimension = shared.index.dimension();
        let incoming = last_of_each(questions.into_iter())?
            .into_iter()
            .map(|(question, vector)| Ok(Incoming { question, vector: Some(unit(&vector, dimension)?), same: None }));
        shared.commit(incoming.collect::<Result<_>>()?)
    }

    /// Removes questions in one atomic batch; returns how many were there.
    ///
    /// # Errors
    /// The disk fails.
    pub fn delete(&self, ids: &[QuestionId]) -> Result<u64> {
        let shared = self.writable()?;
        let writing = shared.writing.lock();
        shared.check_not_deleted()?; // while we waited
        let found: BTreeSet<u32> = {
            let catalogue = shared.catalogue.read();
            ids.iter().filter_map(|id| catalogue.internal(id)).collect()
        };
        if found.is_empty() {
            return Ok(0);
        }
        let gone = found.iter().map(|&id| Ok((id, shared.question(id)?))).collect::<Result<Vec<_>>>()?;
        let changes: Vec<Change> = found.iter().map(|&id| Change::Remove { id }).collect();
        shared.apply(&changes, &gone, &[])?;
        drop(writing);
        shared.finish()?;
        Ok(gone.len() as u64)
    }
}

/// Checks the questions and keeps the last of each id, in the order of the kept ones.
fn last_of_each<T>(questions: impl Iterator<Item = (Question, T)>) -> Result<Vec<(Question, T)>> {
    let questions: Vec<_> = questions.collect();
    let mut last: HashMap<QuestionId, usize> = HashMap::with_capacity(questions.len());
    for (place, (question, _)) in questions.iter().enumerate() {
        question.check()?;
        last.insert(question.id.clone(), place);
    }
    let kept = questions.into_iter().enumerate().filter(|(place, (question, _))| last.get(&question.id) == Some(place));
    Ok(kept.map(|(_, item)| item).collect())
}

impl Shared {
    /// The internal id under which this very text is stored for this question.
    fn same_text(&self, question: &Question) -> Result<Option<u32>> {
        let catalogue = self.catalogue.read();
        let Some(internal) = catalogue.internal(&question.id) else { return Ok(None) };
        Ok((self.question(internal)?.text == question.text).then_some(internal))
    }

    fn encode<'a>(&self, incoming: impl Iterator<Item = &'a mut Incoming>) -> Result<Timings> {
        let incoming: Vec<_> = incoming.collect();
        if incoming.is_empty() {
            return Ok(Timings::default());
        }
        let texts: Vec<String> = incoming.iter().map(|incoming| incoming.question.text.clone()).collect();
        let (vectors, timings) = self.model.encoder.encode(&texts)?;
        if vectors.len() != texts.len() {
            return Err(Error::Internal(format!("{} texts gave {} vectors", texts.len(), vectors.len())));
        }
        for (incoming, vector) in incoming.into_iter().zip(vectors) {
            crate::index::check_unit(&vector, self.index.dimension())?; // before anything is written
            incoming.vector = Some(vector);
        }
        Ok(timings)
    }

    fn commit(&self, mut incoming: Vec<Incoming>) -> Result<UpsertOutcome> {
        let mut ids = self.writing.lock();
        self.check_not_deleted()?;
        let current: Vec<Option<u32>> = {
            let catalogue = self.catalogue.read();
            incoming.iter().map(|incoming| catalogue.internal(&incoming.question.id)).collect()
        };
        // What another writer changed or removed since we looked has to be encoded after all. It is rare.
        let stale = |(incoming, current): &(&mut Incoming, &Option<u32>)| {
            incoming.vector.is_none() && incoming.same != **current
        };
        self.encode(incoming.iter_mut().zip(&current).filter(stale).map(|(incoming, _)| incoming))?;
        let fresh = ids.take(incoming.iter().filter(|incoming| incoming.vector.is_some()).count())?;
        let mut fresh = fresh.into_iter();
        let mut outcome = UpsertOutcome::default();
        let (mut changes, mut gone, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for (Incoming { question, vector, .. }, current) in incoming.into_iter().zip(current) {
            let record = question.to_record();
            match current {
                Some(old) => {
                    let stored = self.question(old)?;
                    outcome.updated += 1;
                    if vector.is_none() && stored == question {
                        outcome.unchanged += 1;
                        continue;
                    }
                    gone.push((old, stored));
                }
                None => outcome.inserted += 1,
            }
            match (vector, current) {
                (Some(vector), _) => {
                    let id = fresh.next().ok_or_else(|| Error::Internal("too few ids were taken".to_owned()))?;
                    changes.extend(current.map(|id| Change::Remove { id }));
                    changes.push(Change::Insert { id, record, vector });
                    added.push((id, question));
                }
                (None, Some(id)) => {
                    changes.push(Change::Rewrite { id, record });
                    added.push((id, question));
                }
                (None, None) => return Err(Error::Internal("a new question was not encoded".to_owned())),
            }
        }
        if changes.is_empty() {
            return Ok(outcome);
        }
        self.apply(&changes, &gone, &added)?;
        drop(ids);
        self.finish()?;
        Ok(outcome)
    }

    /// Changes store, index and catalogue in one step for readers. The caller holds `writing`.
    fn apply(&self, changes: &[Change], gone: &[(u32, Question)], added: &[(u32, Question)]) -> Result<()> {
        let vectors = changes.iter().filter_map(|change| match change {
            Change::Insert { id, vector, .. } => Some((*id, vector.as_slice())),
            _ => None,
        });
        let vectors: Vec<_> = vectors.collect();
        let removed = changes.iter().filter_map(|change| match change {
            Change::Remove { id } => Some(*id),
            _ => None,
        });
        let removed: Vec<u32> = removed.collect();
        let filed = self.store.file(changes)?; // it waits for the disk, and searches do not for it
        let mut catalogue = self.catalogue.write();
        let questions = catalogue.len() + added.len() as u64 - gone.len() as u64;
        let faqs =
            catalogue.faqs_after(gone.iter().map(|(_, question)| question), added.iter().map(|(_, question)| question));
        self.store.apply_filed(changes, filed, questions, faqs)?;
        self.index.insert(&vectors)?; // checked when they were encoded, so it cannot fail after the commit
        self.index.remove(&removed);
        for (internal, question) in gone {
            catalogue.remove(*internal, question);
        }
        for (internal, question) in added {
            catalogue.insert(*internal, question);
        }
        Ok(())
    }

    /// Waits for the disk, and has the graph looked after.
    fn finish(&self) -> Result<()> {
        if let Some(linker) = &self.linker {
            linker.call();
        }
        self.store.make_durable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fill_holes_first_and_are_given_once() {
        let mut ids = FreeIds::beside(&[0u32, 2, 5].into_iter().collect());
        let mut first = ids.take(2).unwrap();
        first.extend(ids.take(3).unwrap());
        assert_eq!(first.iter().copied().collect::<BTreeSet<_>>(), [1, 3, 4, 6, 7].into());
        assert_eq!(FreeIds::beside(&RoaringBitmap::new()).take(2).unwrap(), [0, 1]);
    }

    #[test]
    fn the_last_id_is_given_and_no_further_one() {
        let mut ids = FreeIds { holes: vec![], next: Some(u32::MAX) };
        assert!(matches!(ids.take(2), Err(Error::Exhausted { .. })));
        assert_eq!(ids.take(1).unwrap(), [u32::MAX]);
        assert!(ids.take(1).is_err());
    }
}
