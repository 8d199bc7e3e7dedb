//! Calls into sled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::{Error, Result};

/// Runs a call into sled. On damaged files sled 0.34 asserts what it believes about them, which is a panic: here it
/// becomes the error that it is. `action` completes “cannot …”.
pub(super) fn attempt<T>(path: &Path, action: &'static str, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e @ sled::Error::Corruption { .. })) => Err(Error::corrupt(path, format!("sled cannot {action}: {e}"))),
        Ok(Err(e)) => Err(Error::store(action, e)),
        Err(_) => Err(Error::corrupt(path, format!("sled gave up on its files when it was to {action}"))),
    }
}

/// How long a flush may take before sled is looked at; then twice as long, and so on.
const SLOW: Duration = Duration::from_millis(500);

/// sled's `flush`, which may wait for good: a write of sled's own threads that fails sets an error, but wakes nobody
/// (`Log::exit_reservation` of sled 0.34.7). A flush that begins later finds the error and wakes all. So where one takes
/// long, another is begun beside it now and then.
pub(super) fn flush(db: &sled::Db) -> sled::Result<usize> {
    let thread = || std::thread::Builder::new().name("flush".to_owned());
    std::thread::scope(|scope| {
        let (flushed, wait) = sync_channel::<()>(0);
        let watch = move || {
            let mut patience = SLOW;
            while let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(patience) {
                let _ = thread().spawn_scoped(scope, || db.flush());
                patience *= 2;
            }
        };
        let _ = thread().spawn_scoped(scope, watch); // where no thread is to be had, we do without
        let result = db.flush();
        drop(flushed); // ends the watch
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sled_finds_damaged_or_panics_at_is_damage() {
        let path = Path::new("bank");
        assert_eq!(attempt(path, "count", || Ok(3)).unwrap(), 3);
        let failed = attempt::<()>(path, "count", || Err(sled::Error::Unsupported("it".to_owned())));
        assert!(matches!(failed, Err(Error::Store { .. })));
        for damaged in [
            attempt::<()>(path, "count", || Err(sled::Error::Corruption { at: None, bt: () })),
            attempt::<()>(path, "count", || panic!("as sled does")),
        ] {
            let damaged = damaged.unwrap_err().to_string();
            assert!(damaged.starts_with("bank is damaged: sled ") && damaged.contains("count"), "{damaged}");
        }
    }
}
