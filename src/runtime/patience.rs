//! Whether somebody still waits for what a thread works on.
//!
//! As a log's span does, it belongs to the thread: whoever starts a piece of work says once who waits for it, and what
//! lies between need not pass it on.

use std::cell::RefCell;
use std::sync::Arc;

/// True while somebody waits.
pub type Patience = Arc<dyn Fn() -> bool + Send + Sync>;

thread_local! {
    static CURRENT: RefCell<Option<Patience>> = const { RefCell::new(None) };
}

/// Does `work` on this thread for a caller who may leave: what it asks an [`Encoder`](super::Encoder) or a
/// [`Paraphraser`](crate::generate::Paraphraser) for ends as [`Error::Cancelled`](crate::Error::Cancelled) once nobody
/// waits.
pub fn while_waited_for<T>(patience: Patience, work: impl FnOnce() -> T) -> T {
    /// Puts back what was there, even when `work` panics.
    struct Before(Option<Patience>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _before = Before(CURRENT.replace(Some(patience)));
    work()
}

/// Whether somebody waits for what this thread does; true where nobody was named.
pub fn waited_for() -> bool {
    patience().is_none_or(|waited_for| waited_for())
}

/// Who waits for what this thread does; none where nobody was named.
pub fn patience() -> Option<Patience> {
    CURRENT.with_borrow(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

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
