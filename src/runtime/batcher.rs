//! The threads that run the network, each with a session of its own, and the queue that they take batches from.
//!
//! A free thread takes what there is at once, so a lone caller waits for nobody; what comes while all are busy shares
//! the next batches. The queue has no bound of its own: it holds what the callers hold, and these are counted where they
//! come in (the server's gate).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::call::{Answer, Call, Then};
use super::patience::{Waiter, begun, waiter};
use super::queue::{Batch, Queue};
use crate::{Error, Result};

/// Vectors of rows of ids, in their order.
pub(super) type Network = Box<dyn FnMut(&[&[u32]]) -> Result<Vec<Vec<f32>>> + Send>;

pub(super) struct Batcher {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// None once it is closed.
    queue: Mutex<Option<Queue>>,
    arrived: Condvar,
    budget: usize,
    threads: usize,
}

impl Batcher {
    /// Starts a thread for each network; a batch has at most `budget` tokens.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(networks: Vec<Network>, budget: usize) -> Result<Self> {
        let (queue, threads) = (Mutex::new(Some(Queue::default())), networks.len());
        let shared = Arc::new(Shared { queue, arrived: Condvar::new(), budget, threads });
        let mut batcher = Self { shared, threads: Vec::with_capacity(threads) };
        for network in networks {
            let shared = Arc::clone(&batcher.shared);
            let thread = std::thread::Builder::new().name("encoder".to_owned()).spawn(move || shared.work(network));
            batcher.threads.push(thread.map_err(|e| Error::Unavailable {
                what: "a thread for the encoder".to_owned(),
                reason: e.to_string(),
            })?);
        }
        Ok(batcher)
    }

    /// Vectors of `rows`, for whom this thread works for.
    ///
    /// # Errors
    /// The network fails, nobody waits any more, or it does not begin in time.
    pub fn encode(&self, rows: Vec<Vec<u32>>) -> Answer {
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit(rows, waiter(), Box::new(move |answer| _ = reply.send(answer)));
        let answer = answer.recv().map_err(|_| Error::Internal("an encoding was not answered".to_owned()))?;
        begun();
        answer
    }

    /// Puts `rows` into the queue, and returns.
    pub fn submit(&self, rows: Vec<Vec<u32>>, waiter: Waiter, then: Then) {
        if rows.is_empty() {
            return then(Ok(Default::default()));
        }
        let call = Arc::new(Call::new(rows, waiter, then));
        if let Some(queue) = &mut *self.shared.queue.lock() {
            queue.push(call);
        }
        self.shared.arrived.notify_one();
    }

    /// Sentences that no batch has taken yet.
    pub fn queued(&self) -> usize {
        self.shared.queue.lock().as_ref().map_or(0, Queue::len)
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        let cancelled = self.shared.queue.lock().take();
        drop(cancelled); // without the lock: callers hear of it
        self.shared.arrived.notify_all();
        let this = std::thread::current().id(); // it is one of them where the last to need the encoder was an answer
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != this) {
            let _ = thread.join(); // its panics are caught
        }
    }
}

impl Shared {
    fn work(&self, mut network: Network) {
        while let Some(batch) = self.next() {
            batch.iter().for_each(|(call, _)| call.begin());
            let rows: Vec<&[u32]> = batch.iter().map(|(call, row)| &call.rows[*row][..]).collect();
            let panicked = |_| Err(Error::Internal("an encoder thread panicked".to_owned()));
            match catch_unwind(AssertUnwindSafe(|| network(&rows))).unwrap_or_else(panicked) {
                Ok(vectors) if vectors.len() == batch.len() => {
                    batch.iter().zip(vectors).for_each(|((call, row), vector)| call.put(*row, vector));
                }
                Ok(vectors) => {
                    let message = format!("{} sentences gave {} vectors", batch.len(), vectors.len());
                    batch.iter().for_each(|(call, _)| call.fail(Error::Internal(message.clone())));
                }
                Err(error) => batch.iter().for_each(|(call, _)| call.fail(again(&error))),
            }
        }
    }

    /// The next batch, as soon as there is one; none when the queue is closed.
    fn next(&self) -> Option<Batch> {
        let mut guard = self.queue.lock();
        loop {
            let queue = guard.as_mut()?;
            queue.drop_abandoned();
            if let Some(batch) = queue.take(self.budget, self.threads) {
                if !queue.is_empty() {
                    self.arrived.notify_one(); // there is work for one more
                }
                return Some(batch);
            }
            self.arrived.wait(&mut guard);
        }
    }
}

/// The same error for each caller of a batch.
fn again(error: &Error) -> Error {
    match error {
        Error::Runtime { action, message } => Error::Runtime { action: action.clone(), message: message.clone() },
        other => Error::Internal(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::runtime::while_waited_for;

    /// A network that first takes a word from `go`, and gives the first id of each row and how many rows there were.
    fn held_up(go: mpsc::Receiver<()>) -> Network {
        Box::new(move |rows| {
            go.recv().unwrap();
            Ok(rows.iter().map(|row| vec![row[0] as f32, rows.len() as f32]).collect())
        })
    }

    #[test]
    fn what_comes_while_a_batch_runs_shares_the_next() {
        let (go, held) = mpsc::channel();
        let batcher = Batcher::start(vec![held_up(held)], 256).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| batcher.encode(vec![vec![7; 5]]).unwrap());
            while batcher.queued() > 0 {
                std::thread::yield_now();
            }
            let others: Vec<_> = (0..4).map(|i| (i, &batcher)).collect();
            std::thread::sleep(std::time::Duration::from_millis(20));
            let others: Vec<_> =
                others.into_iter().map(|(i, batcher)| scope.spawn(move || batcher.encode(vec![vec![i; 5]]))).collect();
            while batcher.queued() < 4 {
                std::thread::yield_now();
            }
            go.send(()).unwrap();
            go.send(()).unwrap();
            assert_eq!(first.join().unwrap().0, [[7.0, 1.0]]);
            for (i, other) in others.into_iter().enumerate() {
                let (vectors, queue, _) = other.join().unwrap().unwrap();
                assert_eq!(vectors, [[i as f32, 4.0]]);
                assert!(queue > std::time::Duration::ZERO);
            }
        });
    }

    #[test]
    fn what_nobody_waits_for_is_not_computed() {
        let (go, held) = mpsc::channel();
        let batcher = Batcher::start(vec![held_up(held)], 256).unwrap();
        let waits = Arc::new(AtomicBool::new(true));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| batcher.encode(vec![vec![1]]));
            std::thread::sleep(std::time::Duration::from_millis(20));
            let patience = Arc::clone(&waits);
            let second = scope.spawn(|| {
                while_waited_for(Arc::new(move || patience.load(Ordering::SeqCst)), || batcher.encode(vec![vec![2]]))
            });
            while batcher.queued() < 1 {
                std::thread::yield_now();
            }
            waits.store(false, Ordering::SeqCst);
            go.send(()).unwrap(); // for the first alone: a second batch would hang
            assert!(first.join().unwrap().is_ok());
            assert!(matches!(second.join().unwrap(), Err(Error::Cancelled { .. })));
        });
    }

    #[test]
    fn what_has_not_begun_in_time_is_refused_and_what_has_is_not() {
        let (go, held) = mpsc::channel();
        let batcher = Batcher::start(vec![held_up(held)], 4).unwrap();
        let (reply, answers) = mpsc::channel();
        let submit = |rows: Vec<Vec<u32>>| {
            let (reply, name) = (reply.clone(), rows[0][0]);
            let begin_by = Some(std::time::Instant::now() + std::time::Duration::from_millis(30));
            let then = move |answer: Answer| reply.send((name, answer.map(|(vectors, ..)| vectors.len()))).unwrap();
            batcher.submit(rows, Waiter { patience: None, begin_by }, Box::new(then));
        };
        submit(vec![vec![1; 4]; 2]); // two batches
        while batcher.queued() > 1 {
            std::thread::yield_now();
        }
        submit(vec![vec![2; 4]]);
        std::thread::sleep(std::time::Duration::from_millis(40));
        go.send(()).unwrap();
        let (name, refused) = answers.recv().unwrap();
        assert!(name == 2 && matches!(refused, Err(Error::Exhausted { .. })), "{refused:?}");
        go.send(()).unwrap();
        assert!(matches!(answers.recv().unwrap(), (1, Ok(2))));
    }

    #[test]
    fn an_answer_may_be_the_last_to_hold_the_encoder() {
        let (go, held) = mpsc::channel();
        let batcher = Arc::new(Batcher::start(vec![held_up(held)], 4).unwrap());
        let (reply, answers) = mpsc::channel();
        let last = Arc::clone(&batcher);
        let then = move |answer: Answer| {
            drop(last);
            reply.send(answer.is_ok()).unwrap();
        };
        batcher.submit(vec![vec![1; 4]], Waiter::default(), Box::new(then));
        drop(batcher);
        go.send(()).unwrap();
        assert!(answers.recv().unwrap());
    }

    #[test]
    fn what_waits_when_it_is_closed_is_cancelled() {
        let (go, held) = mpsc::channel();
        let batcher = Batcher::start(vec![held_up(held)], 4).unwrap();
        let (reply, answers) = mpsc::channel();
        for name in [1, 2] {
            let reply = reply.clone();
            let then = move |answer: Answer| reply.send((name, answer.map(drop))).unwrap();
            batcher.submit(vec![vec![name; 4]], Waiter::default(), Box::new(then));
            while batcher.queued() > name as usize - 1 {
                std::thread::yield_now();
            }
        }
        let closing = std::thread::spawn(move || drop(batcher));
        assert!(matches!(answers.recv().unwrap(), (2, Err(Error::Cancelled { .. }))));
        go.send(()).unwrap();
        assert!(matches!(answers.recv().unwrap(), (1, Ok(()))));
        closing.join().unwrap();
    }

    #[test]
    fn a_failure_reaches_its_callers_and_the_next_call_works() {
        let count = AtomicUsize::new(0);
        let network: Network = Box::new(move |rows| match count.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("on purpose"),
            1 => Err(Error::Runtime { action: "encode".to_owned(), message: "no".to_owned() }),
            2 => Ok(Vec::new()),
            _ => Ok(vec![vec![1.0]; rows.len()]),
        });
        let batcher = Batcher::start(vec![network], 256).unwrap();
        let encode = || batcher.encode(vec![vec![1, 2]; 3]);
        assert!(encode().unwrap_err().to_string().contains("panicked"));
        assert!(matches!(encode(), Err(Error::Runtime { .. })));
        assert!(encode().unwrap_err().to_string().contains("3 sentences gave 0 vectors"));
        assert_eq!(encode().unwrap().0, [[1.0]; 3]);
    }

    #[test]
    fn nothing_gives_nothing() {
        let batcher = Batcher::start(vec![Box::new(|_| unreachable!())], 256).unwrap();
        assert!(batcher.encode(Vec::new()).unwrap().0.is_empty());
    }
}
