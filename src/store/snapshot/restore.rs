//! Making a bank of a snapshot.

use std::collections::HashSet;

use prost::Message;
use sha2::{Digest, Sha256};

use super::super::folder::Banks;
use super::super::questions::{Change, Stored, components};
use super::super::record::Record;
use super::{Entry, SnapshotFacts, SnapshotFile, Step};
use crate::index::Progress;
use crate::{Error, Result};

/// What names are told apart by: 16 bytes of SHA-256, so that a million of them fit into some megabytes.
type Digested = [u8; 16];

fn digested(name: &str) -> Digested {
    let mut digest = Digested::default();
    digest.copy_from_slice(&Sha256::digest(name)[..16]);
    digest
}

impl SnapshotFile {
    /// Hands all questions to `each`, a frame at a time and with the number of FAQs so far, after `check` has seen each
    /// of them. They get new internal ids from 0 on. `progress` is told of questions read. At the end all of the file
    /// was checked.
    ///
    /// # Errors
    /// The file is damaged, `check` refuses a question, or `each` fails.
    pub fn read(
        mut self,
        check: &mut dyn FnMut(&Stored) -> Result<()>,
        each: &mut dyn FnMut(Vec<Stored>, u64) -> Result<()>,
        progress: &Progress<'_>,
    ) -> Result<SnapshotFacts> {
        let dimension = self.facts().facts.dimension;
        let (mut ids, mut faqs) = (HashSet::new(), HashSet::new());
        let mut next = Some(0u32);
        while let Some(questions) = self.questions()? {
            let mut frame = Vec::with_capacity(questions.len());
            for Entry { record, vector } in questions {
                let damaged = |fault: String| Error::corrupt(self.path(), fault);
                let record =
                    Record::decode(record.as_slice()).map_err(|e| damaged(format!("a record is malformed: {e}")))?;
                let vector = components(&vector, dimension)
                    .map_err(|fault| damaged(format!("the vector of `{}` {fault}", record.id)))?;
                if !ids.insert(digested(&record.id)) {
                    return Err(damaged(format!("question `{}` is there twice", record.id)));
                }
                faqs.extend(record.faq_id.as_deref().map(digested));
                let id = next.ok_or_else(|| damaged("it has more than 2³² questions".to_owned()))?;
                next = id.checked_add(1);
                let stored = Stored { id, record, vector };
                check(&stored).map_err(|e| damaged(format!("question `{}`: {e}", stored.record.id)))?;
                frame.push(stored);
            }
            each(frame, faqs.len() as u64)?;
            progress(ids.len() as u64, self.facts().counts.questions);
        }
        let (expected, received) = (self.facts().counts.faqs, faqs.len() as u64);
        if expected != received {
            let comment = format!("its header counts {expected} FAQs, and it has {received}");
            return Err(Error::corrupt(self.path(), comment));
        }
        Ok(self.facts().clone())
    }
}

impl Banks {
    /// Makes the bank `name` of a snapshot; whole and on the disk when this returns, and not there before. It keeps the
    /// model's fingerprint, and counts its batches anew. `check` sees each question before it is stored.
    /// `step` is told of questions stored.
    ///
    /// # Errors
    /// There is such a bank, the file is damaged, the disk fails, or `step` ends it. Nothing is left then.
    pub fn restore(
        &self,
        file: SnapshotFile,
        name: &str,
        check: &mut dyn FnMut(&Stored) -> Result<()>,
        step: &Step<'_>,
    ) -> Result<SnapshotFacts> {
        let total = file.facts().counts.questions;
        let facts = file.facts().facts.clone();
        let draft = self.draft(name, &facts)?;
        let store = draft.store(&facts)?;
        let mut questions = 0;
        let mut put = |frame: Vec<Stored>, faqs| {
            questions += frame.len() as u64;
            let insert = |Stored { id, record, vector }| Change::Insert { id, record, vector };
            store.apply(&frame.into_iter().map(insert).collect::<Vec<_>>(), questions, faqs)?;
            step(questions, total)
        };
        let facts = file.read(check, &mut put, &|_, _| ())?;
        store.make_durable()?;
        drop(store);
        draft.finish()?;
        Ok(facts)
    }
}
