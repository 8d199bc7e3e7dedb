//! How a connection is used, and from when on it is of no use.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    /// Until when replies have to be read, each with a number of its own.
    unread: Mutex<BTreeSet<(Instant, u64)>>,
    replies: AtomicU64,
}

/// How long a peer may do nothing of use.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until it has begun.
    pub begin: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Over reading one reply.
    pub reading: Duration,
}

/// Why a connection is of no use.
pub(super) enum End {
    NeverBegan,
    Idle,
    /// A reply was not read in time.
    Unread,
}

impl Default for Activity {
    fn default() -> Self {
        let open = Mutex::new((0, Instant::now()));
        Self { heard: AtomicUsize::new(0), open, unread: Mutex::default(), replies: AtomicU64::new(0) }
    }
}

impl Activity {
    /// Notes that bytes have come.
    pub fn hear(&self, bytes: usize) {
        if self.heard.load(Ordering::Relaxed) < HELLO_BYTES {
            self.heard.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Waits until the connection is of no use.
    pub async fn ends(&self, patience: Patience) -> End {
        let Patience { begin, idle, reading } = patience;
        tokio::time::sleep(begin).await;
        if self.heard.load(Ordering::Relaxed) < HELLO_BYTES && self.open.lock().0 == 0 {
            return End::NeverBegan;
        }
        loop {
            let now = Instant::now();
            let (open, since) = *self.open.lock();
            let read_by = self.unread.lock().first().map(|&(read_by, _)| read_by);
            let left = match read_by {
                Some(read_by) if read_by <= now => return End::Unread,
                Some(read_by) => read_by - now,
                None if open > 0 => idle,
                None => idle.saturating_sub(since.elapsed()),
            };
            if left.is_zero() {
                return End::Idle;
            }
            tokio::time::sleep(left.min(reading)).await; // a reply that comes meanwhile has all of that
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

    /// Notes that there is a reply, which has to be read within a time.
    pub fn replied(&self, reading: Duration) -> Reading {
        let number = self.0.replies.fetch_add(1, Ordering::Relaxed);
        let reading = Reading { activity: Arc::clone(&self.0), reply: (Instant::now() + reading, number) };
        reading.activity.unread.lock().insert(reading.reply);
        reading
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(|open| open - 1);
    }
}

/// A reply that is not read yet.
pub(super) struct Reading {
    activity: Arc<Activity>,
    reply: (Instant, u64),
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.activity.unread.lock().remove(&self.reply);
    }
}
