//! The way from async calls to the engine: bounded, and no work is started for a caller who has gone.
//!
//! Work that blocks gets a thread ([`Gate::run`]). Work that first waits for vectors takes no thread meanwhile
//! ([`Gate::begin`]), so that many such calls can fill the encoder's batches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument as _;

use super::line::Line;
use crate::runtime::{Waiter, while_waited_for, while_waiting};
use crate::{Error, Result};

/// Lets so many pieces of work run at once and so many more wait, each of them for so long. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    /// One permit for each piece of work that runs, of whatever kind.
    running: Arc<Semaphore>,
    /// How many permits `running` has.
    places: u32,
    /// One permit for each piece of this kind of work that runs or is next, where it may not take every place.
    share: Arc<Semaphore>,
    /// How many permits `share` has.
    most: u32,
    /// One permit for each call that is inside, running or waiting.
    room: Arc<Semaphore>,
    /// Pieces of work that wait for a permit, of whatever kind.
    waiting: Arc<AtomicUsize>,
    /// How many may wait.
    seats: u32,
    /// The longest that a call waits.
    patience: Duration,
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

/// What a call holds until it is answered.
struct Place {
    _seat: Option<OwnedSemaphorePermit>,
    _turn: [OwnedSemaphorePermit; 2],
}

/// A call whose turn it is, to be answered from any thread.
pub(super) struct Turn<T> {
    reply: oneshot::Sender<Result<(T, Duration)>>,
    waited: Duration,
    waiter: Waiter,
    span: tracing::Span,
    runtime: Handle,
    place: Place,
}

impl<T: Send + 'static> Turn<T> {
    /// Who waits, and until when the work has to begin.
    pub fn waiter(&self) -> Waiter {
        self.waiter.clone()
    }

    /// Answers, and makes place for another before the caller can ask for more.
    pub fn answer(self, result: Result<T>) {
        drop(self.place);
        let _ = self.reply.send(result.map(|value| (value, self.waited))); // the caller may have gone
    }

    /// Answers by what `work` gives, on a thread that may block, unless the caller has gone.
    pub fn work(self, work: impl FnOnce() -> Result<T> + Send + 'static) {
        let runtime = self.runtime.clone();
        runtime.spawn_blocking(move || self.finish(work));
    }

    /// The same for work that is short, and that many calls come to at once.
    pub fn work_in(self, line: &Line, work: impl FnOnce() -> Result<T> + Send + 'static) {
        let runtime = self.runtime.clone();
        line.push(&runtime, move || self.finish(work));
    }

    fn finish(self, work: impl FnOnce() -> Result<T>) {
        if !self.reply.is_closed() {
            let result = while_waiting(self.waiter(), || self.span.in_scope(work));
            self.answer(result);
        }
    }
}

impl Gate {
    /// A gate for `concurrent` running and `waiting` waiting calls, each of which waits for `patience` at most.
    pub fn new(concurrent: u32, waiting: u32, patience: Duration) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let running = semaphore(concurrent as usize);
        let (share, room) = (semaphore(concurrent as usize), semaphore(concurrent as usize + waiting as usize));
        let places = concurrent;
        Self { running, places, share, most: places, room, waiting: Arc::default(), seats: waiting, patience }
    }

    /// Another gate to the same places, which lets through a kind of work that may take no more than one in `of` of them, so
    /// that it does not hold up the others. It has a waiting room of its own.
    pub fn part(&self, of: u32) -> Self {
        let most = (self.places / of).max(1);
        let (share, room) = (Semaphore::new(most as usize), Semaphore::new(most as usize + self.seats as usize));
        Self { share: Arc::new(share), most, room: Arc::new(room), ..self.clone() }
    }

    /// Pieces of work that run, through this gate and all others to the same places.
    pub fn running(&self) -> usize {
        (self.places as usize).saturating_sub(self.running.available_permits())
    }

    /// Pieces of work that wait for their turn, at this gate and all others to the same places.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs `work` on a thread that may block, when its turn comes; returns its result and how long it waited.
    /// Dropping the future leaves the queue; work that runs already goes on to its end, unless it asks whether it is
    /// [`waited_for`](crate::runtime::waited_for), as encoder and decoder do. These also refuse what they have not begun when
    /// the time is up that a call may wait.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED at once when the waiting room is full, and as soon as it has waited for too long; INTERNAL when
    /// `work` panics; else its own error.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        self.begin(|turn| turn.work(work)).await
    }

    /// Has `work` begin on this thread when its turn comes, and waits until it is answered by the [`Turn`] that it is given;
    /// returns the answer and how long it waited.
    ///
    /// # Errors
    /// As for [`Gate::run`].
    pub async fn begin<T: Send + 'static>(&self, work: impl FnOnce(Turn<T>) + Send) -> Result<(T, Duration), Status> {
        let Ok(seat) = self.room.clone().try_acquire_owned() else {
            let most = self.most + self.seats;
            return Err(full(format!("{most} calls by the server's `--max-concurrent` and `--max-waiting`")));
        };
        let entered = Instant::now();
        let turn = tokio::time::timeout(self.patience, self.turn()).await;
        let turn = turn.map_err(|_| {
            full(format!("no turn within {} ms, by the server's `--max-wait`", self.patience.as_millis()))
        })??;
        self.in_turn(Place { _seat: Some(seat), _turn: turn }, entered, Some(entered + self.patience), work).await
    }

    /// [`Gate::run`] for work that would rather wait than be turned away: that of a stream.
    ///
    /// # Errors
    /// INTERNAL when `work` panics; else its own error.
    pub async fn run_patiently<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T, Status> {
        let entered = Instant::now();
        let place = Place { _seat: None, _turn: self.turn().await? };
        self.in_turn(place, entered, None, |turn| turn.work(work)).await.map(|(result, _)| result)
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

    /// Waits for a place. Whoever has one of its share is the next to run, before those that come later.
    async fn turn(&self) -> Result<[OwnedSemaphorePermit; 2], Status> {
        let closed = |_| fault("the gate is closed");
        let _waiting = Waiting::new(&self.waiting);
        let turn = async {
            let share = Arc::clone(&self.share).acquire_owned().await.map_err(closed)?;
            Ok([share, Arc::clone(&self.running).acquire_owned().await.map_err(closed)?])
        };
        turn.instrument(tracing::debug_span!("queue")).await
    }

    /// Has `begin` see to an answer. The place is held until there is one, even if its caller leaves.
    async fn in_turn<T: Send + 'static>(
        &self,
        place: Place,
        entered: Instant,
        begin_by: Option<Instant>,
        begin: impl FnOnce(Turn<T>),
    ) -> Result<(T, Duration), Status> {
        let (reply, answer) = oneshot::channel();
        let gone = CancellationToken::new();
        let _leaving = gone.clone().drop_guard(); // this future is dropped when the caller leaves or its deadline passes
        let waiter = Waiter { patience: Some(Arc::new(move || !gone.is_cancelled())), begin_by };
        let (span, runtime) = (tracing::Span::current(), Handle::current());
        let turn = Turn { reply, waited: entered.elapsed(), waiter, span, runtime, place };
        // Without an answer the work has panicked: the sender was dropped while the stack unwound.
        let panicked = || fault("the work panicked");
        catch_unwind(AssertUnwindSafe(|| begin(turn))).map_err(|_| panicked())?;
        answer.await.map_err(|_| panicked())?.map_err(Status::from)
    }

    /// Returns when no work of this gate runs, after all that waited before.
    pub async fn idle(&self) {
        let _ = self.share.acquire_many(self.most).await; // never closed
    }
}

fn full(limit: String) -> Status {
    Error::Exhausted { what: "the server's waiting room".to_owned(), limit }.into()
}

fn fault(what: &str) -> Status {
    Error::Internal(what.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tonic::Code;

    use super::*;

    const FOREVER: Duration = Duration::from_secs(60);

    /// Takes a place until something is sent.
    async fn held(gate: &Gate) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, blocked) = mpsc::channel::<()>();
        let (gate, free) = (gate.clone(), gate.running.available_permits());
        let running = gate.running.clone();
        let held = tokio::spawn(async move { _ = gate.run(move || Ok(blocked.recv().ok())).await.unwrap() });
        while running.available_permits() == free {
            tokio::task::yield_now().await;
        }
        (release, held)
    }

    #[tokio::test]
    async fn who_waits_too_long_is_turned_away_and_leaves_the_queue() {
        let gate = Gate::new(1, 8, Duration::from_millis(30));
        let (release, running) = held(&gate).await;
        let started = Instant::now();
        let status = gate.run(|| Ok(())).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("(no turn within 30 ms, by"), "{status}");
        assert!(started.elapsed() >= Duration::from_millis(30));
        assert_eq!(gate.room.available_permits(), 8);
        // A stream would rather wait.
        let patient = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run_patiently(|| Ok(7)).await }
        });
        tokio::time::sleep(Duration::from_millis(60)).await;
        release.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(patient.await.unwrap().unwrap(), 7);
    }

    #[test]
    fn calls_that_wait_for_vectors_take_no_thread_and_know_how_long_they_may() {
        let one_thread = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        one_thread.unwrap().block_on(async {
            let gate = Gate::new(64, 0, Duration::from_secs(5));
            let (begun, mut turns) = tokio::sync::mpsc::unbounded_channel();
            let calls: Vec<_> = (0..64)
                .map(|_| {
                    let (gate, begun) = (gate.clone(), begun.clone());
                    tokio::spawn(async move { gate.begin(|turn: Turn<usize>| begun.send(turn).unwrap()).await })
                })
                .collect();
            let mut all = Vec::new();
            while all.len() < calls.len() {
                all.push(turns.recv().await.unwrap());
            }
            assert_eq!(gate.running(), 64);
            let left = all[0].waiter().begin_by.unwrap() - Instant::now();
            assert!(left > Duration::from_secs(3) && left <= Duration::from_secs(5), "{left:?}");
            for (place, turn) in all.into_iter().enumerate() {
                if place % 2 == 0 { turn.answer(Ok(place)) } else { turn.work(move || Ok(place)) }
            }
            let mut answers = Vec::new();
            for call in calls {
                answers.push(call.await.unwrap().unwrap().0);
            }
            answers.sort_unstable();
            assert!(answers.into_iter().eq(0..64));
            assert_eq!(gate.running(), 0);
        });
    }

    #[tokio::test]
    async fn a_call_that_cannot_begin_is_answered() {
        let gate = Gate::new(1, 0, FOREVER);
        let panicked = gate.begin(|_: Turn<()>| panic!("on purpose")).await.unwrap_err();
        assert_eq!(panicked.code(), Code::Internal);
        let forgotten = gate.begin(|turn: Turn<()>| drop(turn)).await.unwrap_err();
        assert_eq!(forgotten.code(), Code::Internal);
        assert_eq!(gate.running(), 0);
    }

    #[tokio::test]
    async fn one_kind_of_work_takes_its_part_of_the_places() {
        let gate = Gate::new(8, 0, FOREVER);
        let long = gate.part(4);
        let (first, second) = (held(&long).await, held(&long).await);
        assert_eq!(long.run(|| Ok(())).await.unwrap_err().code(), Code::ResourceExhausted);
        let others: Vec<_> = [held(&gate).await, held(&gate).await, held(&gate).await].into();
        assert_eq!(gate.running(), 5, "of both kinds");
        gate.run(|| Ok(())).await.unwrap();
        for (release, running) in others.into_iter().chain([first, second]) {
            release.send(()).unwrap();
            running.await.unwrap();
        }
        long.idle().await;
        long.run(|| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_waiting_room_answers_at_once_and_empties_again() {
        let gate = Gate::new(1, 1, FOREVER);
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
        assert!(status.message().contains("the server's waiting room is full (2 calls by the"), "{status}");
        release.send(()).unwrap();
        running.await.unwrap().unwrap();
        waiting.await.unwrap().unwrap();
        gate.idle().await;
        assert_eq!((gate.running(), gate.waiting()), (0, 0));
        gate.run(|| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_is_not_started() {
        let gate = Gate::new(1, 8, FOREVER);
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
        let gate = Gate::new(1, 0, FOREVER);
        let (enter, entered) = mpsc::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = move || {
            let waited_for = crate::runtime::waited_for();
            enter.send(()).unwrap(); // from now on the caller may leave
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
        let gate = Gate::new(1, 0, FOREVER);
        let status = gate.run(|| -> Result<()> { panic!("on purpose") }).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        gate.idle().await;
        assert!(gate.run(|| Ok(())).await.is_ok());
    }
}
