//! The way from async calls to the blocking engine: bounded, and no work is started for a caller who has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument as _;

use crate::runtime::while_waited_for;
use crate::{Error, Result};

/// Lets so many pieces of work run at once and so many more wait. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    /// One permit for each piece of work that runs.
    running: Arc<Semaphore>,
    /// One permit for each call that is inside, running or waiting.
    room: Arc<Semaphore>,
    /// Pieces of work that wait for a permit.
    waiting: Arc<AtomicUsize>,
    concurrent: u32,
    seats: usize,
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate for `concurrent` running and `waiting` waiting calls.
    pub fn new(concurrent: u32, waiting: u32) -> Self {
        let seats = concurrent as usize + waiting as usize;
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (running, room) = (semaphore(concurrent as usize), semaphore(seats));
        Self { running, room, waiting: Arc::default(), concurrent, seats }
    }

    /// Pieces of work that run.
    pub fn running(&self) -> usize {
        (self.concurrent as usize).saturating_sub(self.running.available_permits())
    }

    /// Pieces of work that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs `work` on a thread that may block, when its turn comes; returns its result and how long it waited.
    /// Dropping the future leaves the queue; work that runs already goes on to its end, unless it asks whether it is
    /// [`waited_for`](crate::runtime::waited_for), as encoder and decoder do.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED at once when the waiting room is full; INTERNAL when `work` panics; else its own error.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let Ok(seat) = self.room.clone().try_acquire_owned() else {
            let limit = format!("{} calls", self.seats);
            return Err(Error::Exhausted { what: "the server's waiting room".to_owned(), limit }.into());
        };
        self.run_seated(Some(seat), work).await
    }

    /// [`Gate::run`] for work that would rather wait than be turned away: that of a stream.
    ///
    /// # Errors
    /// INTERNAL when `work` panics; else its own error.
    pub async fn run_patiently<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T, Status> {
        self.run_seated(None, work).await.map(|(result, _)| result)
    }

    /// [`Gate::run_patiently`] for work that is done to its end once it has begun, whoever has left: a batch of a stream.
    ///
    /// # Errors
    /// INTERNAL when `work` panics; else its own error.
    pub async fn run_to_its_end<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T, Status> {
        self.run_patiently(|| while_waited_for(Arc::new(|| true), work)).await
    }

    async fn run_seated<T: Send + 'static>(
        &self,
        seat: Option<OwnedSemaphorePermit>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let entered = Instant::now();
        let waiting = Waiting::new(&self.waiting);
        let turn = self.running.clone().acquire_owned().instrument(tracing::debug_span!("queue"));
        let turn = turn.await.map_err(|_| fault("the gate is closed"))?;
        drop(waiting);
        let (reply, answer) = oneshot::channel();
        let span = tracing::Span::current();
        let gone = CancellationToken::new();
        let _leaving = gone.clone().drop_guard(); // this future is dropped when the caller leaves or its deadline passes
        tokio::task::spawn_blocking(move || {
            let _permits = (seat, turn); // held until the work ends, even if its caller leaves
            if !reply.is_closed() {
                let waited = entered.elapsed();
                let result = while_waited_for(Arc::new(move || !gone.is_cancelled()), || span.in_scope(work));
                let _ = reply.send(result.map(|value| (value, waited))); // the caller may have gone
            }
        });
        // Without an answer the work has panicked: the sender was dropped while the stack unwound.
        answer.await.map_err(|_| fault("the work panicked"))?.map_err(Status::from)
    }

    /// Returns when no work runs, after all that waited before.
    pub async fn idle(&self) {
        let _ = self.running.acquire_many(self.concurrent).await; // never closed
    }
}

fn fault(what: &str) -> Status {
    Error::Internal(what.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_full_waiting_room_answers_at_once_and_empties_again() {
        let gate = Gate::new(1, 1);
        let (release, blocked) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run(move || Ok(blocked.recv().ok())).await }
        });
        while gate.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run(|| Ok(())).await }
        });
        while gate.room.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let status = gate.run(|| Ok(())).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!((gate.running(), gate.waiting()), (1, 1));
        assert!(status.message().contains("the server's waiting room is full (2 calls)"), "{status}");
        release.send(()).unwrap();
        running.await.unwrap().unwrap();
        waiting.await.unwrap().unwrap();
        gate.idle().await;
        assert_eq!((gate.running(), gate.waiting()), (0, 0));
        gate.run(|| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_is_not_started() {
        let gate = Gate::new(1, 8);
        let started = Arc::new(AtomicUsize::new(0));
        let (release, blocked) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run(move || Ok(blocked.recv().ok())).await }
        });
        while gate.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let count = started.clone();
        let impatient = gate.run(move || Ok(count.fetch_add(1, Ordering::SeqCst)));
        assert!(tokio::time::timeout(Duration::from_millis(20), impatient).await.is_err());
        release.send(()).unwrap();
        running.await.unwrap().unwrap();
        gate.idle().await;
        assert_eq!(started.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn work_that_runs_learns_that_its_caller_has_gone() {
        let gate = Gate::new(1, 0);
        let (enter, entered) = mpsc::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = move || {
            enter.send(()).unwrap();
            let waited_for = crate::runtime::waited_for();
            while crate::runtime::waited_for() {
                std::thread::yield_now();
            }
            tell.send(waited_for).unwrap();
            Ok(())
        };
        let caller = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run(work).await }
        });
        tokio::task::spawn_blocking(move || entered.recv().unwrap()).await.unwrap();
        caller.abort();
        assert!(told.await.unwrap());
        gate.idle().await;
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_and_gives_its_place_back() {
        let gate = Gate::new(1, 0);
        let status = gate.run(|| -> Result<()> { panic!("on purpose") }).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        gate.idle().await;
        assert!(gate.run(|| Ok(())).await.is_ok());
    }
}
