//! Counts calls and their latencies.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::call::Outcome;
use super::mix::Kind;
use crate::server::proto::Timings;

/// Longest latency that is told apart from longer ones, in microseconds.
const LONGEST: u64 = 600_000_000;

/// What was seen of each kind of call.
#[derive(Default)]
pub struct Tally(BTreeMap<Kind, Seen>);

/// What was seen of calls.
pub struct Seen {
    /// Latencies of those that were answered, in microseconds, to three digits.
    done: Histogram<u64>,
    /// Of those that were refused.
    refused: Histogram<u64>,
    /// How many were refused, by what the server or the connection said.
    pub codes: BTreeMap<String, u64>,
    /// How many callers left.
    pub left: u64,
    /// Sums of the stages of those that were answered, in seconds.
    stages: [f64; 5],
}

const STAGES: [&str; 5] = ["queue", "tokenise", "infer", "generate", "search"];

impl Default for Seen {
    fn default() -> Self {
        // The bounds are constants that it accepts.
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3).unwrap_or_else(|_| unreachable!());
        let (codes, stages) = (BTreeMap::new(), [0.0; 5]);
        Self { done: histogram(), refused: histogram(), codes, left: 0, stages }
    }
}

impl Tally {
    pub fn count(&mut self, kind: Kind, latency: Duration, outcome: &Outcome) {
        let seen = self.0.entry(kind).or_default();
        let microseconds = latency.as_micros().min(u128::from(LONGEST)) as u64;
        match outcome {
            Outcome::Done(timings) => {
                seen.done.saturating_record(microseconds);
                let stages = timings.as_ref().map(stages).unwrap_or_default();
                seen.stages.iter_mut().zip(stages).for_each(|(sum, stage)| *sum += stage);
            }
            Outcome::Refused(code) => {
                seen.refused.saturating_record(microseconds);
                *seen.codes.entry(format!("{code:?}")).or_default() += 1;
            }
            Outcome::Left => seen.left += 1,
        }
    }

    /// Each kind that was called.
    pub fn rows(&self) -> Vec<(&'static str, &Seen)> {
        self.0.iter().map(|(kind, seen)| (kind.name(), seen)).collect()
    }

    /// All kinds together.
    pub fn all(&self) -> Seen {
        let mut all = Seen::default();
        for seen in self.0.values() {
            // Both have the same bounds.
            let _ = (all.done.add(&seen.done), all.refused.add(&seen.refused));
            seen.codes.iter().for_each(|(code, count)| *all.codes.entry(code.clone()).or_default() += count);
            all.left += seen.left;
            all.stages.iter_mut().zip(seen.stages).for_each(|(sum, stage)| *sum += stage);
        }
        all
    }
}

impl Seen {
    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.done.len() + self.refused.len() + self.left
    }

    /// How many of them were answered.
    pub fn answered(&self) -> u64 {
        self.done.len()
    }

    /// The latency that a share of those that were answered stayed within, in milliseconds; 0 where none was.
    pub fn milliseconds(&self, share: f64) -> f64 {
        self.done.value_at_quantile(share) as f64 / 1e3
    }

    /// What was seen in so many seconds, as JSON.
    pub fn json(&self, seconds: f64) -> Value {
        let done = self.answered();
        let mean = |sum: f64| sum * 1e3 / done.max(1) as f64;
        let stages: BTreeMap<_, _> = STAGES.into_iter().zip(self.stages.map(mean)).collect();
        json!({
            "calls": self.calls(),
            "done": done,
            "done_per_second": done as f64 / seconds,
            "p50_ms": self.milliseconds(0.5),
            "p99_ms": self.milliseconds(0.99),
            "p999_ms": self.milliseconds(0.999),
            "max_ms": self.done.max() as f64 / 1e3,
            "refused_p99_ms": self.refused.value_at_quantile(0.99) as f64 / 1e3,
            "codes": self.codes,
            "left": self.left,
            "mean_stages_ms": stages,
        })
    }
}

fn stages(timings: &Timings) -> [f64; 5] {
    let Timings { queue, tokenise, infer, generate, search, .. } = timings;
    let seconds = |time: &Option<prost_types::Duration>| {
        time.as_ref().map_or(0.0, |time| time.seconds as f64 + f64::from(time.nanos) * 1e-9)
    };
    [queue, tokenise, infer, generate, search].map(seconds)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn answers_refusals_and_callers_who_left_are_told_apart() {
        let mut tally = Tally::default();
        let queue = Some(prost_types::Duration { seconds: 0, nanos: 2_000_000 });
        for milliseconds in 1..=100 {
            let timings = Timings { queue, ..Default::default() };
            tally.count(Kind::Search, Duration::from_millis(milliseconds), &Outcome::Done(Some(timings)));
        }
        tally.count(Kind::Search, Duration::from_secs(9), &Outcome::Refused(Code::ResourceExhausted));
        tally.count(Kind::Embed, Duration::from_secs(9), &Outcome::Left);
        assert_eq!(
            tally.rows().iter().map(|(name, seen)| (*name, seen.calls())).collect::<Vec<_>>(),
            [("search", 101), ("embed", 1)]
        );
        let all = tally.all().json(10.0);
        assert_eq!((&all["calls"], &all["done"], &all["left"]), (&json!(102), &json!(100), &json!(1)));
        assert_eq!(all["codes"], json!({"ResourceExhausted": 1}));
        assert_eq!(all["done_per_second"], json!(10.0));
        let near = |value: &Value, expected: f64| (value.as_f64().unwrap() / expected - 1.0).abs() < 2e-3;
        assert!(near(&all["p50_ms"], 50.0) && near(&all["p99_ms"], 99.0) && near(&all["max_ms"], 100.0), "{all}");
        assert!(near(&all["mean_stages_ms"]["queue"], 2.0) && near(&all["refused_p99_ms"], 9000.0), "{all}");
    }
}
