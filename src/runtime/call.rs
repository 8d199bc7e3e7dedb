//! One caller's sentences on their way through the network.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::patience::Waiter;
use crate::{Error, Result};

/// What a call waits for.
const WHAT: &str = "the encoding";

/// The vectors of a call, how long it waited, and how long it ran.
pub(super) type Answer = Result<(Vec<Vec<f32>>, Duration, Duration)>;

/// What is done with the answer, on whatever thread has it; it must not take long.
pub(super) type Then = Box<dyn FnOnce(Answer) + Send>;

/// Sentences that one caller waits for.
pub(super) struct Call {
    /// Ids of each sentence.
    pub rows: Vec<Vec<u32>>,
    entered: Instant,
    state: Mutex<State>,
}

struct State {
    waiter: Waiter,
    vectors: Vec<Vec<f32>>,
    /// Rows without a vector.
    left: usize,
    /// When the first batch began.
    started: Option<Instant>,
    /// None once it is answered.
    then: Option<Then>,
}

impl Call {
    pub fn new(rows: Vec<Vec<u32>>, waiter: Waiter, then: Then) -> Self {
        let (left, vectors) = (rows.len(), vec![Vec::new(); rows.len()]);
        let state = Mutex::new(State { waiter, vectors, left, started: None, then: Some(then) });
        Self { rows, entered: Instant::now(), state }
    }

    /// Whether it has failed, nobody waits for it, or it waited for too long; it is failed then.
    pub fn is_abandoned(&self) -> bool {
        let (wanted, answered) = {
            let state = self.state.lock();
            (state.waiter.check(WHAT), state.then.is_none())
        };
        match wanted {
            Ok(()) => answered,
            Err(reason) => {
                self.fail(reason);
                true
            }
        }
    }

    /// Notes that a batch with some of its rows begins.
    pub fn begin(&self) {
        let mut state = self.state.lock();
        state.started.get_or_insert_with(Instant::now);
        state.waiter.begun();
    }

    /// Puts the vector of a row; the last of them is the answer.
    pub fn put(&self, row: usize, vector: Vec<f32>) {
        let mut state = self.state.lock();
        state.vectors[row] = vector;
        state.left -= 1;
        if state.left > 0 {
            return;
        }
        let (then, vectors) = (state.then.take(), std::mem::take(&mut state.vectors));
        let queue = state.started.map_or(Duration::ZERO, |started| started - self.entered);
        drop(state);
        answer(then, Ok((vectors, queue, self.entered.elapsed().saturating_sub(queue))));
    }

    /// Gives up; the first reason counts.
    pub fn fail(&self, reason: Error) {
        let then = self.state.lock().then.take();
        answer(then, Err(reason));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let closed = Error::Cancelled { what: WHAT.to_owned() };
        answer(self.state.get_mut().then.take(), Err(closed)); // by who closed the queue
    }
}

/// Panics of the caller's are not to end the thread that all callers need.
fn answer(then: Option<Then>, answer: Answer) {
    if let Some(then) = then {
        let _ = catch_unwind(AssertUnwindSafe(|| then(answer)));
    }
}
