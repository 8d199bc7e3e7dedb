//! Lets the decoder write for all requests together: continuous batching.
//!
//! A thread for each of the decoder's sessions owns a cache. Before every step it takes in new requests and drops those
//! that nobody waits for; a step has rows of as many requests as fit, sources that are read beside samples that go on.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::Sampling;
use super::draft::Draft;
use crate::runtime::{Cache, Decoder, Rows, Waiter, begun, waiter};
use crate::text::{SpecialIds, Tokenizer};
use crate::{Error, Result};

/// Most rows of a step, unless one source alone is longer. Past some dozen rows a step takes as long for each row more,
/// so larger ones gain nothing and make everybody wait.
const ROWS: usize = 128;
/// An idle writer keeps a cache of so many slots at most: what a request of some 300 samples takes.
const IDLE_SLOTS: usize = 1024;

/// What a request waits for.
const WHAT: &str = "the writing";

/// What the samples of one request wrote: the ids of each, without the closing `[SEP]`.
type Targets = Vec<Vec<u32>>;

/// Threads that write for whoever asks.
pub struct Writer {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    positions: usize,
    banned: Vec<bool>,
    special: SpecialIds,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Job {
    draft: Draft,
    waiter: Waiter,
    reply: mpsc::SyncSender<Result<Targets>>,
}

impl Writer {
    /// Starts a thread for each session of `decoder`.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn start(decoder: &Arc<Decoder>, tokenizer: &Tokenizer) -> Result<Self> {
        let queue = Arc::<Queue>::default();
        let mut writer = Self {
            queue: queue.clone(),
            threads: Vec::new(),
            positions: decoder.positions(),
            banned: banned(decoder, tokenizer),
            special: tokenizer.special(),
        };
        for _ in 0..decoder.sessions() {
            let (queue, decoder) = (queue.clone(), decoder.clone());
            let thread = std::thread::Builder::new().name("writer".to_owned());
            let thread = thread.spawn(move || write(&queue, &decoder)).map_err(|e| {
                let reason = format!("the operating system refuses a thread: {e}");
                Error::Unavailable { what: "the decoder".to_owned(), reason }
            })?;
            writer.threads.push(thread);
        }
        Ok(writer)
    }

    /// Draws `sampling.samples` targets that do not stutter for the source `[CLS] pieces… [SEP]`: their ids without the
    /// closing `[SEP]`, in the order of the samples. Blocks until they are there; other threads' requests go on beside
    /// it and change nothing.
    ///
    /// # Errors
    /// Source and target do not fit into the model's positions, nobody waits any more, or ONNX Runtime fails.
    pub fn write(&self, source: Vec<u32>, sampling: &Sampling) -> Result<Targets> {
        let room = self.positions.saturating_sub(source.len());
        if sampling.max_tokens > room {
            let expected = format!("at most {room} after a source of {} tokens", source.len());
            return Err(Error::invalid("max_tokens", expected, sampling.max_tokens));
        }
        if sampling.mask_source > 0.0 && self.special.mask.is_none() {
            let expected = "0, since this model's tokenizer has no piece for what is masked";
            return Err(Error::invalid("mask_source", expected, sampling.mask_source));
        }
        let waiter = waiter();
        waiter.check(WHAT)?;
        let (reply, answer) = mpsc::sync_channel(1);
        let draft = Draft::new(source, sampling, &self.banned, self.special.sep, self.special.mask);
        self.queue.state.lock().jobs.push_back(Job { draft, waiter, reply });
        self.queue.arrived.notify_one();
        let targets = answer.recv().map_err(|_| Error::Internal("the writer's thread has ended".to_owned()))?;
        begun();
        targets
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.state.lock().closed = true;
        self.queue.arrived.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // its panic, if any, was told to those who waited
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("threads", &self.threads.len()).finish()
    }
}

/// Padding, `[CLS]`, `[MASK]`, the unknown piece, and rows of the embedding that the tokenizer has no piece for.
fn banned(decoder: &Decoder, tokenizer: &Tokenizer) -> Vec<bool> {
    let special = tokenizer.special();
    let mut banned: Vec<bool> = (0..decoder.vocabulary()).map(|id| id >= tokenizer.vocabulary()).collect();
    for id in [special.pad, special.cls, special.unk].into_iter().chain(special.mask) {
        if let Some(banned) = banned.get_mut(id as usize) {
            *banned = true;
        }
    }
    banned
}

impl Queue {
    /// Adds waiting jobs to `jobs` while their next step has room; waits for one where there is nothing to do. False when
    /// the queue is closed and all is done.
    fn admit(&self, jobs: &mut VecDeque<Job>) -> bool {
        let mut state = self.state.lock();
        while jobs.is_empty() && state.jobs.is_empty() {
            if state.closed {
                return false;
            }
            self.arrived.wait(&mut state);
        }
        let mut wanted: usize = jobs.iter().map(|job| job.draft.wanted()).sum();
        while wanted < ROWS
            && let Some(job) = state.jobs.pop_front()
        {
            wanted += job.draft.wanted();
            jobs.push_back(job);
        }
        true
    }
}

fn write(queue: &Queue, decoder: &Decoder) {
    let mut cache = decoder.cache();
    let mut jobs: VecDeque<Job> = VecDeque::new();
    while queue.admit(&mut jobs) {
        for mut job in std::mem::take(&mut jobs) {
            match job.waiter.check(WHAT) {
                Ok(()) => {
                    job.waiter.begun();
                    jobs.push_back(job);
                }
                Err(reason) => job.end(&mut cache, Err(reason)),
            }
        }
        if let Err(error) = step(decoder, &mut cache, &mut jobs) {
            // What was wrong is said to everyone it concerns; the cache may be half written.
            for job in jobs.drain(..) {
                job.end(&mut cache, Err(Error::Runtime { action: "decode".to_owned(), message: error.to_string() }));
            }
        }
        for job in std::mem::take(&mut jobs) {
            if job.draft.is_done() {
                job.end(&mut cache, Ok(()));
            } else {
                jobs.push_back(job);
            }
        }
        if jobs.is_empty() && cache.slots() > IDLE_SLOTS {
            cache = decoder.cache();
        }
    }
}

/// Shares the rows of one step out among `jobs`, runs it, and lets their samples draw.
fn step(decoder: &Decoder, cache: &mut Cache, jobs: &mut VecDeque<Job>) -> Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    // Whoever went first goes last in the next step, so that nobody waits for good.
    jobs.rotate_left(1);
    let (mut rows, count) = (Rows::default(), jobs.len());
    for (before, job) in jobs.iter_mut().enumerate() {
        let left = ROWS.saturating_sub(rows.len());
        // What one does not use of its share is for those after it.
        job.draft.offer(cache, &mut rows, left.div_ceil(count - before), left);
    }
    let logits = decoder.step(cache, &rows)?;
    let mut logits = logits.rows()?;
    for job in jobs {
        let asked = job.draft.asked();
        job.draft.draw(cache, logits.by_ref().take(asked));
    }
    Ok(())
}

impl Job {
    /// Gives back the slots and tells the caller, who may have gone.
    fn end(self, cache: &mut Cache, result: Result<()>) {
        let targets = self.draft.finish(cache);
        let _ = self.reply.send(result.map(|()| targets));
    }
}
