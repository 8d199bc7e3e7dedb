//! The background thread that links a bank's new vectors into its graph.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::index::VectorIndex;
use crate::{Error, Result};

/// How long nobody writes before vectors are linked. A bulk load that is linked as it comes is linked again and again.
const QUIET: Duration = Duration::from_millis(500);

/// Vectors that wait for a graph at most; comparing with so many takes some milliseconds.
const MOST_WAITING: usize = 32_768;

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
    while called.recv().is_ok() && !stop.load(Ordering::Relaxed) {
        wait_for_quiet(index, called);
        let (before, started) = (index.maintained(), std::time::Instant::now());
        index.maintain(stop, &|_, _| ());
        let linked = index.maintained();
        if linked != before {
            tracing::info!(
                bank,
                linked,
                vectors = index.len(),
                seconds = started.elapsed().as_secs(),
                "linked vectors"
            );
        }
    }
}

fn wait_for_quiet(index: &dyn VectorIndex, called: &Receiver<()>) {
    while index.len().saturating_sub(index.maintained()) < MOST_WAITING {
        match called.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
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
