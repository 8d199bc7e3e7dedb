//! The background thread that links a bank's new vectors into its graph.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::index::{Pace, VectorIndex};
use crate::{Error, Result};

/// How long nobody writes until it is quiet.
const QUIET: Duration = Duration::from_millis(500);

/// Runs [`VectorIndex::maintain`] whenever it is told that there may be work. Stops when dropped.
pub(super) struct Linker {
    /// Holds one call at most: one look at the index does for many.
    calls: Option<SyncSender<()>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Linker {
    pub(super) fn start(bank: &str, index: Arc<dyn VectorIndex>) -> Result<Self> {
        let (calls, called) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name(format!("linker-{bank}"))
            .spawn({
                let (bank, stop) = (bank.to_owned(), Arc::clone(&stop));
                move || run(&bank, &*index, &called, &stop)
            })
            .map_err(|e| Error::Unavailable { what: "a background thread".to_owned(), reason: e.to_string() })?;
        Ok(Self { calls: Some(calls), stop, thread: Some(thread) })
    }

    /// Has the index looked after, soon.
    pub(super) fn call(&self) {
        if let Some(calls) = &self.calls {
            // Full is fine: a look is due anyway.
            if let Err(TrySendError::Disconnected(())) = calls.try_send(()) {
                tracing::error!(
                    "the linker has died; new vectors are compared with one by one until the bank is reopened"
                );
            }
        }
    }
}

fn run(bank: &str, index: &dyn VectorIndex, called: &Receiver<()>, stop: &AtomicBool) {
    let mut pace = Pace::Quiet;
    loop {
        pace = match pace {
            Pace::Quiet => match called.recv() {
                Ok(()) => Pace::Busy,
                Err(_) => return,
            },
            Pace::Busy => match called.recv_timeout(QUIET) {
                Ok(()) => Pace::Busy,
                Err(RecvTimeoutError::Timeout) => Pace::Quiet,
                Err(RecvTimeoutError::Disconnected) => return,
            },
        };
        let (before, started) = (index.maintained(), Instant::now());
        index.maintain(pace, stop, &|_, _| ());
        let linked = index.maintained();
        if linked != before {
            let milliseconds = started.elapsed().as_millis() as u64;
            tracing::info!(bank, linked, vectors = index.len(), milliseconds, "linked vectors");
        }
    }
}

impl Drop for Linker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was reported by its own thread
        }
    }
}
