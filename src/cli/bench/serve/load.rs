//! Loads a server for a while: callers who wait for their answer, or calls that come whatever the server does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::call::{Calls, Outcome};
use super::mix::{Plan, Planner};
use super::tally::Tally;

/// How long a caller whom the server turned away waits before the next call of a closed loop.
const PAUSE: Duration = Duration::from_millis(10);
/// How long answers are waited for past the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Calls of an open loop that may be without an answer; more are not sent, and counted.
const MOST_OPEN: usize = 16_384;
/// The longest sleep of the clock, which then looks whether it is to stop.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// How calls follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loop {
    /// So many callers, each of whom waits for the answer before the next call.
    Closed(u32),
    /// Calls that come at random (a Poisson process), so many a second, whether or not others were answered.
    Open(f64),
}

/// A load, and what is seen of it. Clones share what they have seen.
#[derive(Clone)]
pub struct Load {
    calls: Arc<Calls>,
    planner: Arc<Mutex<Planner>>,
    /// Of calls that were to start after the warm-up.
    pub tally: Arc<Mutex<Tally>>,
    /// Calls that ended so far, of the warm-up too.
    pub ended: Arc<AtomicU64>,
    begin: Instant,
    end: Instant,
    /// Ends the load early.
    pub stop: CancellationToken,
}

/// What did not happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// Calls that had no answer when the patience was at its end.
    pub unanswered: u64,
    /// Calls of an open loop that were not sent, as too many were without an answer.
    pub unsent: u64,
}

impl Load {
    /// A load that starts now, and is looked at from `warm_up` on for `time`.
    pub fn new(calls: Calls, planner: Planner, warm_up: Duration, time: Duration) -> Self {
        let begin = Instant::now() + warm_up;
        let (planner, tally) = (Arc::new(Mutex::new(planner)), Arc::default());
        let (ended, stop) = (Arc::default(), CancellationToken::new());
        Self { calls: Arc::new(calls), planner, tally, ended, begin, end: begin + time, stop }
    }

    /// When the load began to be looked at, and when it ends.
    pub fn window(&self) -> (Instant, Instant) {
        (self.begin, self.end)
    }

    /// Makes the calls, and waits for their answers.
    pub async fn run(&self, shape: Loop, seed: u64) -> Missing {
        let mut missing = Missing::default();
        let mut tasks = JoinSet::new();
        match shape {
            Loop::Closed(callers) => (0..callers).for_each(|_| _ = tasks.spawn(self.clone().call_on())),
            Loop::Open(rate) => {
                let (sender, mut due) = mpsc::channel(MOST_OPEN);
                let (stop, now, end) = (self.stop.clone(), Instant::now(), self.end);
                let clock = std::thread::spawn(move || tick(rate, seed, (now, end), &stop, &sender));
                while let Some(due) = due.recv().await {
                    while tasks.try_join_next().is_some() {}
                    match tasks.len() < MOST_OPEN {
                        true => _ = tasks.spawn(self.clone().call_once(due)),
                        false => missing.unsent += u64::from(due >= self.begin),
                    }
                }
                let _ = clock.join(); // it has dropped its end of the channel
            }
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = async { self.stop.cancelled().await; tokio::time::sleep(PAUSE).await } => {}
            () = tokio::time::sleep_until((self.end + PATIENCE).into()) => {}
        }
        missing.unanswered = tasks.len() as u64;
        missing
    }

    /// A caller of a closed loop.
    async fn call_on(self) {
        loop {
            let due = Instant::now();
            if due >= self.end || self.stop.is_cancelled() {
                return;
            }
            let plan = self.planner.lock().draw();
            if let Outcome::Refused(Code::ResourceExhausted | Code::Unavailable) = self.call(plan, due).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// A call of an open loop, which was due then.
    async fn call_once(self, due: Instant) {
        let plan = self.planner.lock().draw();
        self.call(plan, due).await;
    }

    /// Makes a call; its latency counts from when it was due, even where it could not be sent then.
    async fn call(&self, plan: Plan, due: Instant) -> Outcome {
        let outcome = self.calls.make(&plan).await;
        self.ended.fetch_add(1, Ordering::Relaxed);
        if due >= self.begin {
            self.tally.lock().count(plan.kind, due.elapsed(), &outcome);
        }
        outcome
    }
}

/// Sends the time of each call when it has come. A thread's own sleep is exact to some hundredths of a millisecond, where the
/// runtime's timers tick by the millisecond.
fn tick(
    rate: f64,
    seed: u64,
    (now, end): (Instant, Instant),
    stop: &CancellationToken,
    sender: &mpsc::Sender<Instant>,
) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut due = now;
    loop {
        due += gap(rate, &mut random);
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            if stop.is_cancelled() || due >= end {
                return;
            }
            std::thread::sleep(left.min(LONGEST_SLEEP));
        }
        if stop.is_cancelled() || due >= end || sender.blocking_send(due).is_err() {
            return;
        }
    }
}

/// Time between two calls of a Poisson process: exponential, with the mean 1 / rate.
fn gap(rate: f64, random: &mut SmallRng) -> Duration {
    let seconds = -(1.0 - random.random::<f64>()).ln() / rate;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_a_poisson_process() {
        let mut random = SmallRng::seed_from_u64(1);
        let gaps: Vec<f64> = (0..20_000).map(|_| gap(50.0, &mut random).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * 50.0 - 1.0).abs() < 0.03, "{mean}");
        assert!((variance.sqrt() * 50.0 - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn a_clock_that_is_late_sends_what_was_due() {
        let (sender, mut due) = mpsc::channel(1000);
        let now = Instant::now() - Duration::from_secs(1); // as if it had slept through a second
        tick(100.0, 3, (now, now + Duration::from_secs(1)), &CancellationToken::new(), &sender);
        drop(sender);
        let mut times = Vec::new();
        while let Some(time) = due.blocking_recv() {
            times.push(time);
        }
        assert!((60..140).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted() && times[times.len() - 1] < now + Duration::from_secs(1));
    }
}
