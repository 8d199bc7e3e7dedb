//! Looking at all of a bank, past what is damaged.

use std::path::Path;

use super::parts::{self, Kind};
use super::questions::{Store, Stored};
use super::record::Record;
use crate::{Error, Result};

/// Damaged questions that an error names.
const NAMED: usize = 5;

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
    /// Reads all questions and hands the whole ones to `each`, by internal id. An [`Error::DataCorruption`] that it
    /// answers with is noted with the other damage.
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
            let lacks = |what| Error::corrupt(&self.path, format!("its {what} is missing"));
            let record = record.unwrap_or_else(|| Err(lacks("record")));
            let record = record.and_then(|bytes| self.decode(id, &bytes));
            let question = record.as_ref().ok().map(|record: &Record| record.id.clone());
            let vector = vector.unwrap_or_else(|| Err(lacks("vector")));
            let vector = vector.and_then(|bytes| self.components(id, &bytes));
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
        Ok(seen)
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
