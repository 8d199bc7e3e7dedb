//! Short pieces of work, done one after another by a few threads that may block.
//!
//! A batch of the encoder ends the wait of a dozen calls at once. A thread for each of them would be a dozen threads to
//! wake and to switch between, on the cores that the encoder needs for the next batch.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::available_parallelism;

use parking_lot::Mutex;
use tokio::runtime::Handle;

type Work = Box<dyn FnOnce() + Send>;

/// Work that waits for one of the threads. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// How many threads it takes at most.
    most: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    /// Threads that do what waits.
    threads: usize,
}

impl Line {
    /// A line with two threads for each core, so that one may wait for the disk.
    pub fn new() -> Self {
        Self::of(2 * available_parallelism().map_or(1, usize::from))
    }

    fn of(most: usize) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), most }))
    }

    /// Has `work` done by one of the threads, which are `runtime`'s. Who waits for it has to learn of a panic by himself.
    pub fn push(&self, runtime: &Handle, work: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        state.waiting.push_back(Box::new(work));
        if state.threads < self.0.most {
            state.threads += 1;
            drop(state);
            let shared = Arc::clone(&self.0);
            runtime.spawn_blocking(move || shared.work());
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some(work) = self.next() {
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }

    fn next(&self) -> Option<Work> {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.threads -= 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn all_is_done_by_no_more_threads_than_it_may_take() {
        let (line, runtime) = (Line::of(2), Handle::current());
        let (done, mut all) = tokio::sync::mpsc::unbounded_channel();
        let busy = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        for place in 0..40 {
            let (done, busy) = (done.clone(), busy.clone());
            line.push(&runtime, move || {
                let [now, most] = &*busy;
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
                now.fetch_sub(1, Ordering::SeqCst);
                done.send(place).unwrap();
                assert!(place % 3 != 0, "on purpose");
            });
        }
        let mut places = Vec::new();
        while places.len() < 40 {
            places.push(all.recv().await.unwrap());
        }
        places.sort_unstable();
        assert!(places.into_iter().eq(0..40));
        assert_eq!(busy[1].load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_blocks_holds_up_nothing_while_another_thread_is_free() {
        let (line, runtime) = (Line::of(2), Handle::current());
        let (release, blocked) = mpsc::channel::<()>();
        line.push(&runtime, move || blocked.recv().unwrap());
        for _ in 0..3 {
            let (done, finished) = tokio::sync::oneshot::channel();
            line.push(&runtime, move || done.send(()).unwrap());
            finished.await.unwrap();
        }
        release.send(()).unwrap();
    }
}
