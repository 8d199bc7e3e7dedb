//! How a connection is used, and from when on it is of no use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The least that a peer must have said in time: HTTP/2's preface and an empty frame of settings. HTTP/1 has a clock of
/// its own, which runs until the headers are complete.
const HELLO_BYTES: usize = 24 + 9;

/// How a connection is used.
pub(super) struct Activity {
    /// Bytes that have come, as far as they matter.
    heard: AtomicUsize,
    /// Requests whose answer has not ended, and since when there have been so many.
    open: Mutex<(usize, Instant)>,
}

/// Why a connection is of no use.
pub(super) enum End {
    NeverBegan,
    Idle,
}

impl Default for Activity {
    fn default() -> Self {
        Self { heard: AtomicUsize::new(0), open: Mutex::new((0, Instant::now())) }
    }
}

impl Activity {
    /// Notes that bytes have come.
    pub fn hear(&self, bytes: usize) {
        if self.heard.load(Ordering::Relaxed) < HELLO_BYTES {
            self.heard.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Waits until the connection is of no use: nothing was said within `begin`, or no request was open for `idle`.
    pub async fn ends(&self, begin: Duration, idle: Duration) -> End {
        tokio::time::sleep(begin).await;
        if self.heard.load(Ordering::Relaxed) < HELLO_BYTES && self.open.lock().0 == 0 {
            return End::NeverBegan;
        }
        loop {
            let (open, since) = *self.open.lock();
            let left = if open > 0 { idle } else { idle.saturating_sub(since.elapsed()) };
            if left.is_zero() {
                return End::Idle;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut open = self.open.lock();
        *open = (change(open.0), Instant::now());
    }
}

/// Counts a request for as long as it lives.
pub(super) struct Open(Arc<Activity>);

impl Open {
    pub fn new(activity: &Arc<Activity>) -> Self {
        activity.count(|open| open + 1);
        Self(Arc::clone(activity))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(|open| open - 1);
    }
}
