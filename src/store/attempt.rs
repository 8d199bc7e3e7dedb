//! Calls into sled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

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
