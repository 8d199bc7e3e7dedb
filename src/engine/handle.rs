//! A handle of a bank, and how a bank gets over a failed write.
//!
//! A store refuses all writes after one that failed, because what the disk holds is unknown then. What it holds is known
//! once it is opened anew, so the next write does that: it lets the searches that run come to their end, closes the
//! bank, and opens it again. Searches alone never do; they go on with what is in memory. A page that sled changed, could
//! not write and no longer holds is not: a search that needs one is sled's error until the bank is opened anew.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::BankName;
use super::bank::{Model, Shared};
use crate::index::{HnswSettings, Progress};
use crate::store::Banks;
use crate::{Error, Result};

/// How long a write waits for those who still use the bank that is to be closed.
const LEAVING: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(5) };

/// One bank. Cheap to clone; all methods block, so call them off the async runtime.
///
/// After a write that failed, the next one opens the bank anew, and goes on if that succeeds: nothing that was
/// acknowledged is lost, and what was not is there as a whole or not at all.
#[derive(Clone)]
pub struct Bank {
    handle: Arc<Handle>,
}

/// A bank that is in memory, for calls that must not wait for it.
pub struct OpenBank(pub(super) Arc<Shared>);

/// What all handles of a bank share.
struct Handle {
    opening: Opening,
    /// Locked for writing while the bank is opened anew or deleted, for reading by nobody for long.
    state: RwLock<State>,
}

/// What it takes to open a bank.
pub(super) struct Opening {
    pub banks: Banks,
    pub name: BankName,
    pub model: Model,
    pub graph: Option<HnswSettings>,
}

enum State {
    Open(Arc<Shared>),
    /// It was closed after a failed write, and could not be opened again. Whoever uses it next tries once more.
    Closed,
    /// Its files are gone, and another bank may have its name.
    Deleted,
}

impl Bank {
    /// Opens a bank; see [`Shared::open`].
    pub(super) fn open(opening: Opening, progress: &Progress<'_>) -> Result<Self> {
        let state = RwLock::new(State::Open(Arc::new(Shared::open(&opening, progress)?)));
        Ok(Self { handle: Arc::new(Handle { opening, state }) })
    }

    /// The bank's name.
    pub fn name(&self) -> &BankName {
        &self.handle.opening.name
    }

    /// Whether the bank is in memory.
    pub(super) fn is_open(&self) -> bool {
        matches!(&*self.handle.state.read(), State::Open(_))
    }

    /// The open bank, to read from.
    pub(super) fn live(&self) -> Result<Arc<Shared>> {
        match &*self.handle.state.read() {
            State::Open(shared) => return shared.check_not_deleted().map(|()| Arc::clone(shared)),
            State::Deleted => return Err(gone(self.name())),
            State::Closed => {}
        }
        self.reopen()
    }

    /// The open bank, unless it would have to be waited for.
    pub(super) fn at_hand(&self) -> Option<OpenBank> {
        match &*self.handle.state.try_read()? {
            State::Open(shared) => shared.check_not_deleted().ok().map(|()| OpenBank(Arc::clone(shared))),
            State::Closed | State::Deleted => None,
        }
    }

    /// The open bank, to write to: opened anew where an earlier write failed.
    pub(super) fn writable(&self) -> Result<Arc<Shared>> {
        let shared = self.live()?;
        if !shared.store.has_failed() {
            return Ok(shared);
        }
        drop(shared); // or we wait for ourselves
        self.reopen()
    }

    fn reopen(&self) -> Result<Arc<Shared>> {
        let mut state = self.handle.state.write();
        match &*state {
            State::Open(shared) if !shared.store.has_failed() => return Ok(Arc::clone(shared)), // another did it
            State::Open(shared) => {
                // While the disk is as it was, a bank that can be searched is better than none.
                shared.store.check_disk().map_err(|e| self.unrecovered(e))?;
            }
            State::Closed => {}
            State::Deleted => return Err(gone(self.name())),
        }
        if let State::Open(shared) = mem::replace(&mut *state, State::Closed)
            && let Err(shared) = close(shared)
        {
            *state = State::Open(shared);
            let reason = "an earlier write to it failed, and it is still in use, so that it cannot be opened anew yet; \
                send the write again";
            return Err(Error::Unavailable { what: format!("bank `{}`", self.name()), reason: reason.to_owned() });
        }
        let opened = Shared::open(&self.handle.opening, &|_, _| ()).map_err(|e| self.unrecovered(e))?;
        tracing::warn!(bank = %self.name(), "opened a bank anew after a write had failed");
        let opened = Arc::new(opened);
        *state = State::Open(Arc::clone(&opened));
        Ok(opened)
    }

    /// Says what a fault of the disk has to do with the write. Damage and a full disk speak for themselves.
    fn unrecovered(&self, error: Error) -> Error {
        let fault = match &error {
            // Callers from elsewhere read this, whom the path does not concern.
            Error::Io { action, source, .. } => format!("cannot {action}: {source}"),
            Error::Store { .. } => error.to_string(),
            _ => return error,
        };
        tracing::error!(bank = %self.name(), %error, "a bank cannot be opened anew");
        Error::Unavailable {
            what: format!("bank `{}`", self.name()),
            reason: format!(
                "an earlier write to it failed, and it cannot be opened anew: {fault}; check the disk, then send the \
                 write again"
            ),
        }
    }

    /// Closes the bank and removes it from disk.
    pub(super) fn remove(&self) -> Result<()> {
        let Opening { banks, name, .. } = &self.handle.opening;
        let mut state = self.handle.state.write();
        match &*state {
            State::Open(shared) => {
                let _writing = shared.writing.lock(); // a commit that runs is finished first
                shared.store.retire();
                banks.delete(name.as_str(), true)?;
                shared.deleted.store(true, Ordering::Release);
            }
            State::Closed => banks.delete(name.as_str(), false)?,
            State::Deleted => return Err(gone(name)),
        }
        *state = State::Deleted;
        Ok(())
    }

    /// Puts on the disk what is not there yet, if anything.
    pub(super) fn make_durable(&self) -> Result<()> {
        match &*self.handle.state.read() {
            State::Open(shared) => shared.store.make_durable(),
            State::Closed | State::Deleted => Ok(()),
        }
    }
}

/// Waits until nobody else uses the bank, and lets go of its files; gives it back if that takes too long.
fn close(mut shared: Arc<Shared>) -> Result<(), Arc<Shared>> {
    shared.store.give_up_snapshot();
    let deadline = Instant::now() + LEAVING;
    loop {
        match Arc::try_unwrap(shared) {
            Ok(last) => {
                drop(last);
                return Ok(());
            }
            Err(used) if Instant::now() < deadline => shared = used,
            Err(used) => return Err(used),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a handle answers whose bank was deleted.
pub(super) fn gone(name: &BankName) -> Error {
    let hint = "it was deleted while it was open".to_owned();
    Error::NotFound { kind: "bank", name: name.to_string(), hint }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{BankSettings, Engine, Question, QuestionId, SearchRequest, SentenceEncoder, Timings};
    use super::*;

    /// Gives every text the same vector.
    struct Same;

    impl SentenceEncoder for Same {
        fn encode(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Timings)> {
            Ok((vec![vec![0.6, 0.8]; texts.len()], Timings::default()))
        }
        fn dimension(&self) -> usize {
            2
        }
        fn fingerprint(&self) -> &str {
            "same"
        }
    }

    fn question(id: &str) -> Question {
        let id = QuestionId::new(id).unwrap();
        Question { id, text: "怎么退款".to_owned(), faq_id: None, answer: None, metadata: Default::default() }
    }

    /// A bank of one question whose store says that a write to it failed.
    fn failed() -> (tempfile::TempDir, Engine, Bank) {
        let data = tempfile::tempdir().unwrap();
        let engine = Engine::with_encoder(data.path(), Arc::new(Same)).unwrap();
        let bank = engine.create_bank(&BankName::new("faq").unwrap(), BankSettings::default()).unwrap();
        bank.upsert(vec![question("1")]).unwrap();
        bank.live().unwrap().store.pretend_failure();
        (data, engine, bank)
    }

    fn hits(bank: &Bank) -> Result<usize> {
        Ok(bank.search(&SearchRequest::text("x", 10))?.hits.len())
    }

    #[test]
    fn the_next_write_opens_the_bank_anew_and_a_search_does_not() {
        let (_data, engine, bank) = failed();
        let other = engine.bank(bank.name()).unwrap();
        assert_eq!(hits(&bank).unwrap(), 1);
        assert!(bank.live().unwrap().store.has_failed());
        assert_eq!(other.upsert(vec![question("2")]).unwrap().inserted, 1);
        assert_eq!((hits(&bank).unwrap(), hits(&other).unwrap()), (2, 2));
        bank.live().unwrap().store.pretend_failure();
        assert_eq!(bank.delete(&[question("1").id]).unwrap(), 1);
        assert_eq!(bank.verify(&|_, _| ()).unwrap(), 1);
    }

    #[test]
    fn a_bank_that_is_in_use_is_opened_anew_later() {
        let (_data, _engine, bank) = failed();
        let used = bank.live().unwrap();
        let refused = bank.upsert(vec![question("2")]).unwrap_err();
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused}");
        assert!(refused.to_string().contains("still in use") && refused.to_string().contains("again"), "{refused}");
        assert_eq!(hits(&bank).unwrap(), 1);
        drop(used);
        bank.upsert(vec![question("2")]).unwrap();
    }

    #[test]
    fn a_bank_that_cannot_be_opened_anew_says_so_until_it_can() {
        let (data, engine, bank) = failed();
        let description = data.path().join("banks/faq/bank.json");
        let hidden = data.path().join("hidden");
        fs::rename(&description, &hidden).unwrap();
        fs::create_dir(&description).unwrap(); // cannot be read
        for _ in 0..2 {
            let refused = bank.upsert(vec![question("2")]).unwrap_err();
            assert!(matches!(refused, Error::Unavailable { .. }), "{refused}");
            assert!(refused.to_string().contains("check the disk, then send the write again"), "{refused}");
        }
        fs::remove_dir(&description).unwrap();
        fs::rename(&hidden, &description).unwrap();
        assert_eq!(engine.banks().unwrap()[0].questions, 1, "described without opening it");
        assert_eq!(hits(&bank).unwrap(), 1);
        bank.upsert(vec![question("2")]).unwrap();
    }

    #[test]
    fn a_bank_that_was_closed_can_be_deleted() {
        let (data, engine, bank) = failed();
        let description = data.path().join("banks/faq/bank.json");
        fs::write(&description, "{").unwrap();
        assert!(matches!(bank.upsert(vec![question("2")]), Err(Error::DataCorruption { .. })));
        engine.delete_bank(bank.name()).unwrap();
        let again = engine.create_bank(bank.name(), BankSettings::default()).unwrap();
        assert!(matches!(hits(&bank), Err(Error::NotFound { .. })), "it is not the new bank");
        assert_eq!(hits(&again).unwrap(), 0);
    }
}
