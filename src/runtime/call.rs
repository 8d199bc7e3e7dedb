//! One caller's sentences on their way through the network.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::patience::Patience;
use crate::{Error, Result};

/// Sentences that one caller waits for.
pub(super) struct Call {
    /// Ids of each sentence.
    pub rows: Vec<Vec<u32>>,
    patience: Option<Patience>,
    entered: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    vectors: Vec<Vec<f32>>,
    /// Rows without a vector.
    left: usize,
    /// When the first batch began.
    started: Option<Instant>,
    failure: Option<Error>,
}

/// The vectors of a call, how long it waited, and how long it ran.
pub(super) type Answer = (Vec<Vec<f32>>, Duration, Duration);

impl Call {
    pub fn new(rows: Vec<Vec<u32>>, patience: Option<Patience>) -> Self {
        let (left, vectors) = (rows.len(), vec![Vec::new(); rows.len()]);
        let state = Mutex::new(State { vectors, left, started: None, failure: None });
        Self { rows, patience, entered: Instant::now(), state, changed: Condvar::new() }
    }

    /// Whether it has failed or nobody waits for it; it is failed then.
    pub fn is_abandoned(&self) -> bool {
        if self.patience.as_ref().is_some_and(|waited_for| !waited_for()) {
            self.fail(Error::Cancelled { what: "the encoding".to_owned() });
        }
        self.state.lock().failure.is_some()
    }

    /// Notes that a batch with some of its rows begins.
    pub fn begin(&self) {
        self.state.lock().started.get_or_insert_with(Instant::now);
    }

    pub fn put(&self, row: usize, vector: Vec<f32>) {
        let mut state = self.state.lock();
        state.vectors[row] = vector;
        state.left -= 1;
        if state.left == 0 {
            self.changed.notify_one();
        }
    }

    /// Gives up; the first reason counts.
    pub fn fail(&self, reason: Error) {
        self.state.lock().failure.get_or_insert(reason);
        self.changed.notify_one();
    }

    /// Waits until all rows have vectors.
    ///
    /// # Errors
    /// A batch failed, or nobody waits any more.
    pub fn wait(&self) -> Result<Answer> {
        let mut state = self.state.lock();
        while state.left > 0 && state.failure.is_none() {
            self.changed.wait(&mut state);
        }
        if let Some(failure) = state.failure.take() {
            // Rows of it may still be in the queue, which is to see that they are no longer wanted.
            state.failure = Some(Error::Cancelled { what: "the encoding".to_owned() });
            return Err(failure);
        }
        let queue = state.started.map_or(Duration::ZERO, |started| started - self.entered);
        Ok((std::mem::take(&mut state.vectors), queue, self.entered.elapsed().saturating_sub(queue)))
    }
}
