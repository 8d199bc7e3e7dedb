//! `simbert bench serve`: calls a server from this process, and tells how fast it answers.
//!
//! | file | its one job |
//! |---|---|
//! | `mix` | which call is next |
//! | `call`, `connections` | makes it |
//! | `load` | when: closed and open loops |
//! | `tally`, `report` | what was seen |

mod call;
mod connections;
mod load;
mod mix;
mod report;
mod tally;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, value_parser};
use rustix::time::{ClockId, clock_gettime};

use self::call::Calls;
use self::connections::Connections;
use self::load::{Load, Loop};
use self::mix::{Mix, Planner};
use self::report::Report;
use super::super::interrupt;
use super::super::open::{self, parse_name};
use super::super::remote::{Remote, parse_url};
use super::texts::texts;
use crate::engine::BankName;

/// How often the bar moves, and Ctrl-C is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Load the server at URL with calls, and tell how many it answers and how fast.
///
/// Closed loop (`--callers`): each caller waits for the answer before the next call, and for 10 ms where it was turned
/// away. Open loop (`--rate`): calls come at random, by a Poisson process, whatever the server does, and a latency counts
/// from when the call was due, so that a stalled server cannot hide what it made wait. Latencies are of calls that were
/// answered; refusals are counted by their code. Ctrl-C reports what was seen until then.
///
/// Upserts and deletions write over and remove the questions `load-0` to `load-999` of the bank. Use a copy.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  simbert bench serve http://127.0.0.1:50051 --bank faq --texts queries.txt --callers 8\n  \
    simbert bench serve http://127.0.0.1:50051 --bank faq --texts queries.txt --rate 200 --mix search=9,embed=1 --json"
)]
pub struct Serve {
    /// The server, as `http://host:port`.
    #[arg(value_parser = parse_url)]
    url: String,
    /// The bank that is searched and written to.
    #[arg(long, value_name = "NAME", env = "SIMBERT_BANK", value_parser = parse_name)]
    bank: BankName,
    /// A UTF-8 file of queries, one a line, which are also what is embedded, varied and written; taken in turns.
    #[arg(long, value_name = "FILE")]
    texts: PathBuf,
    /// Lines to read.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u32).range(1..))]
    limit: u32,
    /// Lines to pass over first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,
    /// Calls and how frequent each is: search, embed, expanded, generate, upsert, delete, snapshot.
    #[arg(long, value_name = "CALL=WEIGHT,…", default_value = "search")]
    mix: Mix,
    /// Callers of a closed loop.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=4096))]
    callers: u32,
    /// Calls a second of an open loop, instead of callers.
    #[arg(long, value_name = "R", conflicts_with = "callers", value_parser = positive)]
    rate: Option<f64>,
    /// How long the load is looked at.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = positive)]
    seconds: f64,
    /// How long it goes on before that.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = not_negative)]
    warm_up: f64,
    /// How many hits a search asks for.
    #[arg(short, value_name = "N", default_value_t = 10)]
    k: u32,
    /// Samples of the decoder for a generation or an expanded search; the server's own number when absent.
    #[arg(long, value_name = "N")]
    samples: Option<u32>,
    /// Milliseconds until a call's deadline.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=600_000))]
    deadline: u64,
    /// Connections that the calls share.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Open a new connection after so many calls over one.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    reconnect: Option<u64>,
    /// Share of callers who leave within 20 ms, answered or not, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    leaving: f64,
    /// Makes the same calls from the same seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        let texts = texts(&self.texts, self.skip, self.limit)?;
        let interrupted = interrupt::watch()?;
        // One thread: what is measured is the server, and it may be on this very machine.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("cannot start the runtime")?.block_on(self.load(texts, &interrupted))
    }

    async fn load(self, texts: Vec<String>, interrupted: &std::sync::atomic::AtomicBool) -> anyhow::Result<()> {
        let seconds = Duration::from_secs_f64;
        let connections =
            Connections::open(Remote::at(self.url.clone()), self.connections as usize, self.reconnect).await?;
        let calls = Calls {
            connections,
            bank: self.bank.to_string(),
            texts,
            k: self.k,
            samples: self.samples,
            deadline: Duration::from_millis(self.deadline),
        };
        let planner = Planner::new(self.mix.clone(), self.leaving, self.seed);
        let load = Load::new(calls, planner, seconds(self.warm_up), seconds(self.seconds));
        let shape = self.rate.map_or(Loop::Closed(self.callers), Loop::Open);
        let (started, before) = (Instant::now(), processor());
        let missing = tokio::select! {
            missing = load.run(shape, self.seed) => missing,
            never = watch(&load, seconds(self.warm_up + self.seconds), interrupted) => match never? {},
        };
        let (begin, end) = load.window();
        let measured = Instant::now().min(end).saturating_duration_since(begin).as_secs_f64();
        if measured == 0.0 {
            bail!("stopped within the warm-up of {} s: nothing was measured", self.warm_up);
        }
        if load.stop.is_cancelled() {
            eprintln!("stopped after {measured:.1} of {} s", self.seconds);
        }
        let tally = load.tally.lock();
        let report = Report {
            shape,
            mix: &self.mix,
            tally: &tally,
            seconds: measured,
            missing,
            seed: self.seed,
            cores: (processor() - before).as_secs_f64() / started.elapsed().as_secs_f64(),
        };
        report.print(&mut std::io::stdout().lock(), self.json)
    }
}

/// Moves the bar, and ends the load at the first Ctrl-C.
async fn watch(
    load: &Load,
    time: Duration,
    interrupted: &std::sync::atomic::AtomicBool,
) -> anyhow::Result<std::convert::Infallible> {
    let bar = open::bar("ms, 0 calls")?;
    bar.set_length(time.as_millis() as u64);
    let started = Instant::now();
    loop {
        tokio::time::sleep(TICK).await;
        bar.set_position(started.elapsed().min(time).as_millis() as u64);
        bar.set_message(format!("ms, {} calls", load.ended.load(Ordering::Relaxed)));
        if interrupted.load(Ordering::Relaxed) {
            load.stop.cancel();
        }
    }
}

/// Processor time of this process.
fn processor() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default() // never negative
}

fn number(text: &str, fits: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number.is_finite() && fits(number));
    number.ok_or_else(|| format!("expected {expected}"))
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |number| (1e-3..=1e6).contains(&number), "a number from 0.001 to 1000000")
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=1e6).contains(&number), "a number from 0 to 1000000")
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=1.0).contains(&number), "a share from 0 to 1")
}
