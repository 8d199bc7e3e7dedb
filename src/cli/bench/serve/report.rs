//! What was seen of a load, for people and for programs.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::load::{Loop, Missing};
use super::mix::Mix;
use super::tally::{Seen, Tally};

pub struct Report<'a> {
    pub shape: Loop,
    pub mix: &'a Mix,
    pub tally: &'a Tally,
    /// How long the load was looked at.
    pub seconds: f64,
    pub missing: Missing,
    pub seed: u64,
    /// Processor cores that this process kept busy.
    pub cores: f64,
}

impl Report<'_> {
    pub fn print(&self, out: &mut impl Write, json: bool) -> anyhow::Result<()> {
        match json {
            true => Ok(writeln!(out, "{}", self.json())?),
            false => self.table(out),
        }
    }

    fn json(&self) -> Value {
        let (callers, rate) = match self.shape {
            Loop::Closed(callers) => (Some(callers), None),
            Loop::Open(rate) => (None, Some(rate)),
        };
        let calls: Map<String, Value> =
            self.tally.rows().into_iter().map(|(name, seen)| (name.to_owned(), seen.json(self.seconds))).collect();
        json!({
            "callers": callers,
            "rate": rate,
            "mix": self.mix.to_string(),
            "seconds": self.seconds,
            "seed": self.seed,
            "own_cores": self.cores,
            "unanswered": self.missing.unanswered,
            "unsent": self.missing.unsent,
            "all": self.tally.all().json(self.seconds),
            "calls": calls,
        })
    }

    fn table(&self, out: &mut impl Write) -> anyhow::Result<()> {
        match self.shape {
            Loop::Closed(callers) => write!(out, "{callers} callers, each waiting for its answer")?,
            Loop::Open(rate) => write!(out, "{rate} calls a second at random")?,
        }
        writeln!(out, ", for {:.1} s; seed {}\n", self.seconds, self.seed)?;
        writeln!(out, "| call | made | answered a second | p50 ms | p99 ms | p99.9 ms | longest ms | not answered |")?;
        writeln!(out, "|---|---|---|---|---|---|---|---|")?;
        let (rows, all) = (self.tally.rows(), self.tally.all());
        for (name, seen) in rows.iter().copied().chain((rows.len() > 1).then_some(("all", &all))) {
            let milliseconds = [0.5, 0.99, 0.999, 1.0].map(|share| format!("{:.1}", seen.milliseconds(share)));
            let rate = seen.answered() as f64 / self.seconds;
            let (calls, times, missed) = (seen.calls(), milliseconds.join(" | "), missed(seen));
            writeln!(out, "| {name} | {calls} | {rate:.1} | {times} | {missed} |")?;
        }
        let Missing { unanswered, unsent } = self.missing;
        if unanswered + unsent > 0 {
            writeln!(out, "\n{unanswered} calls had no answer at the end, {unsent} were not sent")?;
        }
        writeln!(out, "\nthis process kept {:.2} cores busy", self.cores)?;
        Ok(())
    }
}

/// How many calls had no answer, and why.
fn missed(seen: &Seen) -> String {
    let codes = seen.codes.iter().map(|(code, count)| format!("{count} {code}"));
    let left = (seen.left > 0).then(|| format!("{} left", seen.left));
    let parts: Vec<_> = codes.chain(left).collect();
    if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;

    use super::super::call::Outcome;
    use super::super::mix::Kind;
    use super::*;

    #[test]
    fn a_table_has_a_row_for_each_call_and_one_for_all() {
        let mut tally = Tally::default();
        for _ in 0..30 {
            tally.count(Kind::Search, Duration::from_millis(2), &Outcome::Done(None));
        }
        tally.count(Kind::Upsert, Duration::from_millis(1), &Outcome::Refused(Code::ResourceExhausted));
        let mix = "search,upsert".parse().unwrap();
        let missing = Missing { unanswered: 1, unsent: 0 };
        let (shape, cores) = (Loop::Closed(4), 0.25);
        let report = Report { shape, mix: &mix, tally: &tally, seconds: 3.0, missing, seed: 1, cores };
        let mut out = Vec::new();
        report.print(&mut out, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("| search | 30 | 10.0 | 2.0 | 2.0 | 2.0 | 2.0 | – |"), "{text}");
        assert!(text.contains("| upsert | 1 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 1 ResourceExhausted |"), "{text}");
        assert!(text.contains("| all | 31 |") && text.contains("1 calls had no answer"), "{text}");
        let mut out = Vec::new();
        report.print(&mut out, true).unwrap();
        let json: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&json["callers"], &json["rate"], &json["unanswered"]), (&json!(4), &Value::Null, &json!(1)));
        assert_eq!(json["calls"]["search"]["done_per_second"], json!(10.0));
    }
}
