//! Whether somebody still waits for what a thread works on.
//!
//! As a log's span does, it belongs to the thread: whoever starts a piece of work says once who waits for it, and what
//! lies between need not pass it on.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use crate::{Error, Result};

/// True while somebody waits.
pub type Patience = Arc<dyn Fn() -> bool + Send + Sync>;

/// Who waits for a piece of work, and until when it has to begin.
#[derive(Clone, Default)]
pub struct Waiter {
    /// Without one, somebody always waits.
    pub patience: Option<Patience>,
    /// Work that has not begun by then is refused as [`Error::Exhausted`].
    pub begin_by: Option<Instant>,
}

impl Waiter {
    /// Notes that the work has begun.
    pub(crate) fn begun(&mut self) {
        self.begin_by = None;
    }

    /// Refuses work that is not to go on, `what` such as “the encoding”.
    pub(crate) fn check(&self, what: &str) -> Result<()> {
        if self.patience.as_ref().is_some_and(|waited_for| !waited_for()) {
            return Err(Error::Cancelled { what: what.to_owned() });
        }
        if self.begin_by.is_some_and(|by| by < Instant::now()) {
            let limit = "the call waited for its turn as long as it may".to_owned();
            return Err(Error::Exhausted { what: format!("the queue for {what}"), limit });
        }
        Ok(())
    }
}

thread_local! {
    static CURRENT: RefCell<Waiter> = const { RefCell::new(Waiter { patience: None, begin_by: None }) };
}

/// Does `work` on this thread for a caller who may leave: what it asks an [`Encoder`](super::Encoder) or a
/// [`Paraphraser`](crate::generate::Paraphraser) for ends as [`Error::Cancelled`] once nobody waits.
pub fn while_waited_for<T>(patience: Patience, work: impl FnOnce() -> T) -> T {
    while_waiting(Waiter { patience: Some(patience), begin_by: None }, work)
}

/// As [`while_waited_for`], for a caller who may also not wait for long until it begins: what `work` asks an encoder or a
/// paraphraser for first.
pub fn while_waiting<T>(waiter: Waiter, work: impl FnOnce() -> T) -> T {
    /// Puts back what was there, even when `work` panics.
    struct Before(Waiter);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(std::mem::take(&mut self.0));
        }
    }
    let _before = Before(CURRENT.replace(waiter));
    work()
}

/// Whether somebody waits for what this thread does; true where nobody was named.
pub fn waited_for() -> bool {
    patience().is_none_or(|waited_for| waited_for())
}

/// Who waits for what this thread does; none where nobody was named.
pub fn patience() -> Option<Patience> {
    CURRENT.with_borrow(|waiter| waiter.patience.clone())
}

/// The same with the time by which it has to begin, unless it has.
pub(crate) fn waiter() -> Waiter {
    CURRENT.with_borrow(Clone::clone)
}

/// Notes that what this thread does has begun.
pub(crate) fn begun() {
    CURRENT.with_borrow_mut(Waiter::begun);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_may_go_on() {
        let late = Waiter { patience: None, begin_by: Some(Instant::now() - std::time::Duration::from_millis(1)) };
        while_waiting(late, || {
            assert!(matches!(waiter().check("x"), Err(Error::Exhausted { .. })));
            let mut other = waiter();
            other.begun();
            assert!(other.check("x").is_ok());
            begun();
            assert!(waiter().check("x").is_ok());
        });
    }

    #[test]
    fn it_is_in_force_while_the_work_runs() {
        assert!(patience().is_none());
        while_waited_for(Arc::new(|| false), || {
            assert!(!patience().unwrap()());
            while_waited_for(Arc::new(|| true), || assert!(patience().unwrap()()));
            assert!(!patience().unwrap()());
        });
        assert!(patience().is_none());
    }
}
