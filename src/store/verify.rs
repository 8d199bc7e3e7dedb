//! Looking at all of a bank, past what is damaged.

use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use roaring::RoaringBitmap;

use super::parts::{self, Kind};
use super::questions::{Store, Stored};
use super::record::{Outline, Record};
use crate::{Error, Result};

/// Damaged questions that an error names.
const NAMED: usize = 5;

/// Ids that are worth a thread, when a bank is opened.
const LEAST_SHARE: u64 = 16_384;

/// Records that a thread hands over at once.
const CHUNK: usize = 1024;

/// A question that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its internal id.
    pub internal: u32,
    /// Its id; absent where its record is the damaged part.
    pub question: Option<String>,
    /// What is wrong with it.
    pub what: String,
}

/// What a look at all of a bank found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Questions that are as they were written.
    pub whole: u64,
    /// How many questions the last batch left.
    pub expected: u64,
    /// All others that were found, by internal id.
    pub damaged: Vec<Damage>,
    /// What is wrong with graphs. They are no loss: they are made again of the vectors once the bank is served.
    pub graphs: Vec<String>,
}

impl Verification {
    /// Whether every question is there, as it was written, and no other.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.whole == self.expected
    }

    /// Questions that were found, in whatever state.
    pub fn found(&self) -> u64 {
        self.whole + self.damaged.len() as u64
    }

    /// Says what is wrong with the bank `name` under `path`: names the first few of the damaged questions, and the ways
    /// out.
    fn error(&self, path: &Path, name: &str) -> Error {
        let mut faults = Vec::new();
        if self.found() != self.expected {
            faults.push(format!("expected {} questions, found {}", self.expected, self.found()));
        }
        if !self.damaged.is_empty() {
            let mut named: Vec<String> = self.damaged.iter().take(NAMED).map(ToString::to_string).collect();
            if self.damaged.len() > NAMED {
                named.push(format!("and {} more", self.damaged.len() - NAMED));
            }
            faults.push(format!("{} of {} questions: {}", self.damaged.len(), self.found(), named.join("; ")));
        }
        let ways_out = format!(
            "`simbert bank verify {name}` names all, `simbert bank restore` makes a bank of a snapshot, `simbert bank \
             export {name} --skip-damaged` saves the questions whose records are whole"
        );
        Error::corrupt(path, format!("{}. {ways_out}", faults.join("; ")))
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.question {
            Some(question) => write!(f, "question `{question}`: {}", self.what),
            None => write!(f, "the question under internal id {}: {}", self.internal, self.what),
        }
    }
}

/// An error about one question as a sentence without the path; the others are not about damage.
fn fault(error: Error) -> Result<String> {
    match error {
        Error::DataCorruption { comment, .. } => Ok(comment),
        Error::Store { .. } => Ok(error.to_string()),
        other => Err(other),
    }
}

impl Store {
    /// Reads all questions and hands the whole ones to `each`, by internal id; looks at the graphs too. An
    /// [`Error::DataCorruption`] that `each` answers with is noted with the other damage.
    ///
    /// # Errors
    /// Any other error of `each`.
    pub fn verify(&self, each: &mut dyn FnMut(Stored) -> Result<()>) -> Result<Verification> {
        let mut seen = Verification { expected: self.counts().questions, ..Verification::default() };
        let mut records = parts::scan(&self.db, &self.path, Kind::Record, 0..=u32::MAX).peekable();
        let mut vectors = parts::scan(&self.db, &self.path, Kind::Vector, 0..=u32::MAX).peekable();
        loop {
            let ids = [records.peek().map(|(id, _)| *id), vectors.peek().map(|(id, _)| *id)];
            let Some(id) = ids.into_iter().flatten().min() else { break };
            let record = records.next_if(|(found, _)| *found == id).map(|(_, record)| record);
            let vector = vectors.next_if(|(found, _)| *found == id).map(|(_, vector)| vector);
            let record = record.unwrap_or_else(|| Err(Error::corrupt(&self.path, "its record is missing")));
            let record = record.and_then(|bytes| self.decode(id, &bytes));
            let question = record.as_ref().ok().map(|record: &Record| record.id.clone());
            let vector = match vector {
                Some(bytes) => bytes.and_then(|bytes| self.components(id, &bytes)),
                None => self.segments.vector(id).and_then(|vector| vector.ok_or_else(|| self.lacks_vector())),
            };
            let faults: Vec<Error> = match (record, vector) {
                (Ok(record), Ok(vector)) => each(Stored { id, record, vector }).err().into_iter().collect(),
                (record, vector) => record.err().into_iter().chain(vector.err()).collect(),
            };
            if faults.is_empty() {
                seen.whole += 1;
            } else {
                let faults: Vec<String> = faults.into_iter().map(fault).collect::<Result<_>>()?;
                seen.damaged.push(Damage { internal: id, question, what: faults.join("; ") });
            }
        }
        for file in self.segments() {
            if let Err(error) = file.check_derived() {
                seen.graphs.push(format!("segment {}: {}", file.number(), fault(error)?));
            }
        }
        Ok(seen)
    }

    fn lacks_vector(&self) -> Error {
        let lost = self.segments.lost().map(|lost| format!(", as is {lost}")).unwrap_or_default();
        Error::corrupt(&self.path, format!("its vector is missing{lost}"))
    }

    /// Reads what a bank opens with: hands every record's outline to `record`, and then every vector that lies in sled and no
    /// file to `vector`, each by internal id. The vectors in files are not looked at, but each question has one.
    ///
    /// # Errors
    /// Questions are damaged or incomplete, or there are more or fewer than the last batch left: all were looked at
    /// then, and the error names the first few and the ways out. Or `record` or `vector` fails.
    pub fn load(
        &self,
        record: &mut dyn FnMut(u32, Outline) -> Result<()>,
        vector: &mut dyn FnMut(u32, Vec<f32>) -> Result<()>,
    ) -> Result<()> {
        let (mut live, mut bad) = (RoaringBitmap::new(), RoaringBitmap::new());
        let mut found = Verification { expected: self.counts().questions, ..Verification::default() };
        self.outlines(&mut |id, stored| match stored.and_then(|stored| record(id, stored)) {
            Ok(()) => {
                found.whole += 1;
                live.insert(id);
                Ok(())
            }
            Err(error) => {
                found.damaged.push(Damage { internal: id, question: None, what: fault(error)? });
                bad.insert(id);
                Ok(())
            }
        })?;
        let filed = self.segments.members();
        let (mut waiting, mut doubled) = (RoaringBitmap::new(), RoaringBitmap::new());
        for (id, bytes) in parts::scan(&self.db, &self.path, Kind::Vector, 0..=u32::MAX) {
            if filed.contains(id) {
                doubled.insert(id); // what a crash left
                continue;
            }
            waiting.insert(id);
            let read = match live.contains(id) || bad.contains(id) {
                true => bytes.and_then(|bytes| vector(id, self.components(id, &bytes)?)),
                false => Err(Error::corrupt(&self.path, "its record is missing")),
            };
            if let Err(error) = read {
                self.note(&mut found, &mut bad, id, error)?;
            }
        }
        for id in &live - &(&waiting | &filed) {
            self.note(&mut found, &mut bad, id, self.lacks_vector())?;
        }
        found.damaged.sort_by_key(|damage| damage.internal);
        self.whole(&found)?;
        self.clear_away(&doubled)
    }

    /// Hands every record's outline to `each`; some threads read and decode them, each its share of the ids in their order.
    fn outlines(&self, each: &mut dyn FnMut(u32, Result<Outline>) -> Result<()>) -> Result<()> {
        let last = parts::last(&self.db, &self.path, Kind::Record)?;
        let Some(last) = last else { return Ok(()) };
        let threads = rayon::current_num_threads() as u64;
        let share = (u64::from(last) / threads + 1).max(LEAST_SHARE);
        let read = |first: u64, chunks: &SyncSender<Vec<(u32, Result<Outline>)>>| {
            let ids = first as u32..=u64::min(first + share - 1, last.into()) as u32;
            let mut records = parts::scan(&self.db, &self.path, Kind::Record, ids)
                .map(|(id, bytes)| (id, bytes.and_then(|bytes| self.decode::<Outline>(id, &bytes))));
            loop {
                let chunk: Vec<_> = records.by_ref().take(CHUNK).collect();
                if chunk.is_empty() || chunks.send(chunk).is_err() {
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            let (sender, chunks) = sync_channel(2 * threads as usize);
            for first in (0..=u64::from(last)).step_by(share as usize) {
                let sender = sender.clone();
                scope.spawn(move || read(first, &sender));
            }
            drop(sender);
            chunks.into_iter().flatten().try_for_each(|(id, record)| each(id, record))
        })
    }

    /// Notes that a question is damaged, which may have been counted as whole; `noted` are those that were before.
    fn note(&self, seen: &mut Verification, noted: &mut RoaringBitmap, id: u32, error: Error) -> Result<()> {
        let what = fault(error)?;
        // A lost file may have a million: only who was noted before is looked for.
        if !noted.insert(id)
            && let Some(damage) = seen.damaged.iter_mut().find(|damage| damage.internal == id)
        {
            damage.what = format!("{}; {what}", damage.what);
            return Ok(());
        }
        let question = self.record(id).ok().flatten().map(|record| record.id);
        seen.whole -= u64::from(question.is_some());
        seen.damaged.push(Damage { internal: id, question, what });
        Ok(())
    }

    /// The number of questions where all were found whole.
    ///
    /// # Errors
    /// They were not; the error names the first few of the damaged ones, and the ways out.
    pub fn whole(&self, found: &Verification) -> Result<u64> {
        if found.is_whole() { Ok(found.whole) } else { Err(found.error(&self.path, &self.name)) }
    }

    /// Hands every record to `each`, by internal id, and notes the damaged ones. Vectors are not looked at.
    ///
    /// # Errors
    /// As [`Store::verify`].
    pub fn records(&self, each: &mut dyn FnMut(u32, Record) -> Result<()>) -> Result<Verification> {
        let mut seen = Verification { expected: self.counts().questions, ..Verification::default() };
        for (id, bytes) in parts::scan(&self.db, &self.path, Kind::Record, 0..=u32::MAX) {
            match bytes.and_then(|bytes| self.decode(id, &bytes)).and_then(|record| each(id, record)) {
                Ok(()) => seen.whole += 1,
                Err(error) => seen.damaged.push(Damage { internal: id, question: None, what: fault(error)? }),
            }
        }
        Ok(seen)
    }
}
