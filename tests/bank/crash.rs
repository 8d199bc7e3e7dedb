//! A process that writes a bank, makes segments, takes snapshots and restores them is killed at random moments. What
//! it acknowledged must be there, what it deleted must not, and a snapshot or a restored bank is whole or absent.
//!
//! `SIMBERT_CRASH_KILLS` says how often (`make crash` kills 200 times), `SIMBERT_CRASH_SEED` from which seed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use simbert::engine::{Query, SearchRequest};
use simbert::index::HnswSettings;

use super::encoder::LetterPairs;
use super::*;

const DATA: &str = "SIMBERT_TEST_DATA";
const FIRST: &str = "SIMBERT_TEST_FIRST_BATCH";
const KILLS: &str = "SIMBERT_CRASH_KILLS";
const SEED: &str = "SIMBERT_CRASH_SEED";

/// Longest wait for a line of the process that is to be killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// An engine that soon makes segments.
fn engine(data: &Path) -> Engine {
    // Comparisons instead of walks, so that what is found can be foretold.
    let settings = HnswSettings { freeze_from: 128, walk_cost: 1 << 20, ..HnswSettings::default() };
    super::engine(data).with_graphs(settings)
}

/// Ids are shared between batches, so that batches insert, update and delete. Some are large.
fn batch(n: u64) -> (Vec<Question>, Vec<QuestionId>) {
    let mut random = SmallRng::seed_from_u64(n);
    let size = if n.is_multiple_of(25) { 600 } else { random.random_range(1..120) };
    let upserts = (0..size).map(|_| {
        let of = random.random_range(0..2000u64);
        let answer = (random.random_range(0..10) == 0).then(|| "长".repeat(random.random_range(1..5000)));
        Question { answer, ..question(of, &wording(of + n % 5)) }
    });
    let upserts = upserts.collect();
    let deletes = (0..random.random_range(0..5)).map(|_| id(random.random_range(0..2000u64))).collect();
    (upserts, deletes)
}

fn copy_name() -> BankName {
    BankName::new("copy").unwrap()
}

/// Not a test: the process that is killed. Says each batch before it starts and once it is acknowledged, and each
/// snapshot once it is there.
#[test]
#[ignore = "started by the tests below"]
fn worker() {
    let Ok(data) = std::env::var(DATA) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let engine = engine(Path::new(&data));
    let bank = engine.bank(&name()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| copy(&engine, &bank, Path::new(&data), first));
        scope.spawn(|| {
            loop {
                bank.link_now(&|_, _| ()).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        for n in first.. {
            let (upserts, deletes) = batch(n);
            println!("\nstart {n}");
            bank.upsert(upserts).unwrap();
            println!("\nhalf {n}");
            bank.delete(&deletes).unwrap();
            println!("\ndone {n}");
        }
    });
}

/// Takes snapshots, makes a bank of each, and removes both.
fn copy(engine: &Engine, bank: &Bank, data: &Path, first: u64) {
    for n in 0.. {
        let file = |n: u64| data.join(format!("{first}-{n}.bank"));
        let taken = bank.snapshot(&file(n), false, &|_, _| ()).unwrap();
        println!("\ncopy {} {}", taken.counts.batch, file(n).display());
        engine.restore(&file(n), Some(&copy_name()), &|_, _| ()).unwrap();
        engine.delete_bank(&copy_name()).unwrap();
        if n > 0 {
            println!("\nremove {}", file(n - 1).display());
            std::fs::remove_file(file(n - 1)).unwrap();
        }
    }
}

fn start(data: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::worker", "--exact", "--ignored", "--nocapture"])
        .env(DATA, data)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What the process says, line by line.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

type State = BTreeMap<QuestionId, Question>;

/// Half of a batch: the number of the batch, and whether it is its upserts or its deletions.
type Half = (u64, bool);

/// What half a batch does, and how many commits that is.
fn apply(state: &mut State, (n, upserts): Half) -> u64 {
    let (questions, ids) = batch(n);
    if upserts {
        state.extend(questions.into_iter().map(|question| (question.id.clone(), question)));
        return 1;
    }
    let gone = ids.iter().filter(|id| state.remove(id).is_some()).count();
    u64::from(gone > 0)
}

fn stored(bank: &Bank) -> State {
    bank.list(None, usize::MAX).unwrap().into_iter().map(|question| (question.id.clone(), question)).collect()
}

/// What the killed process said, read back.
#[derive(Debug, Default)]
struct Heard {
    /// Half batches that were acknowledged, in their order.
    acknowledged: Vec<Half>,
    /// The half batch that was begun last and not acknowledged: it may be there as a whole, or not at all.
    perhaps: Option<Half>,
    /// Snapshots that must be there, with the batch that they are of.
    copies: BTreeMap<String, u64>,
}

impl Heard {
    fn of(lines: &[String]) -> Self {
        let mut heard = Self::default();
        for line in lines {
            let Some((what, rest)) = line.split_once(' ') else { continue };
            match (what, rest.split_once(' '), rest.parse::<u64>()) {
                ("start", None, Ok(n)) => heard.perhaps = Some((n, true)),
                ("half", None, Ok(n)) => {
                    heard.acknowledged.push((n, true));
                    heard.perhaps = Some((n, false));
                }
                ("done", None, Ok(n)) => {
                    heard.acknowledged.push((n, false));
                    heard.perhaps = None;
                }
                ("copy", Some((batch, file)), _) => {
                    heard.copies.insert(file.to_owned(), batch.parse().unwrap());
                }
                ("remove", None, Err(_)) => {
                    heard.copies.remove(rest);
                }
                _ => {}
            }
        }
        heard
    }
}

/// A bank's questions after a batch.
#[derive(Clone)]
struct At {
    batch: u64,
    state: State,
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |number| number.parse().unwrap())
}

#[test]
fn a_killed_process_loses_nothing_and_leaves_nothing_half_done() {
    let (kills, seed) = (number(KILLS, 20), number(SEED, 1));
    let data = tempfile::tempdir().unwrap();
    created(&engine(data.path()));
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut before, mut next, mut copies) = (At { batch: 0, state: State::new() }, 0, 0);
    let started = Instant::now();
    for kill in 0..kills {
        let said = kill_one(data.path(), next, &mut random);
        let heard = Heard::of(&said);
        let context = format!("{SEED}={seed}, kill {kill} (batches from {next} on, {heard:?})");
        let after = check_bank(data.path(), &before, &heard, &context);
        copies += check_copies(data.path(), &before, &heard, &context);
        next = heard.perhaps.or(heard.acknowledged.last().copied()).map_or(next, |(n, _)| n + 1);
        before = after;
    }
    println!("{kills} kills in {:.1?}: {next} batches, {copies} snapshots checked", started.elapsed());
    let kept = std::fs::read_dir(data.path().join("banks/faq/segments")).unwrap().count();
    assert!(kept > 0, "no segment was made");
    assert!(next > kills && copies > kills / 4, "{next} batches and {copies} snapshots test little");
}

/// Starts the process and kills it: after some of its lines, or early, while it opens the bank.
fn kill_one(data: &Path, first: u64, random: &mut SmallRng) -> Vec<String> {
    let mut child = start(data, first);
    let receiver = lines(&mut child);
    let mut said = Vec::new();
    if random.random_range(0..5) > 0 {
        let enough = random.random_range(1..40);
        while said.iter().filter(|line: &&String| line.contains(' ')).count() < enough {
            said.push(receiver.recv_timeout(PATIENCE).expect("the worker works"));
        }
    } else {
        std::thread::sleep(Duration::from_millis(random.random_range(0..200)));
    }
    std::thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    said.extend(receiver);
    said
}

/// The bank has everything that was acknowledged, and what was begun last as a whole or not at all.
fn check_bank(data: &Path, before: &At, heard: &Heard, context: &str) -> At {
    let engine = engine(data);
    let bank = engine.bank(&name()).unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut expected = before.clone();
    for half in &heard.acknowledged {
        expected.batch += apply(&mut expected.state, *half);
    }
    let taken = bank.snapshot(&data.join("now"), true, &|_, _| ()).unwrap();
    if taken.counts.batch != expected.batch
        && let Some(half) = heard.perhaps
    {
        expected.batch += apply(&mut expected.state, half);
    }
    assert_eq!(taken.counts.batch, expected.batch, "{context}: one batch for each commit");
    let found = stored(&bank);
    assert!(found == expected.state, "{context}: what is there is not what was acknowledged, nor that and the next");
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), found.len() as u64, "{context}");
    check_searches(&bank, &expected.state, context);
    // A bank that was being made of a snapshot is whole, or not there.
    if engine.banks().unwrap().iter().any(|bank| bank.name == copy_name()) {
        let copy = engine.bank(&copy_name()).unwrap_or_else(|error| panic!("{context}: the copy: {error}"));
        copy.verify(&|_, _| ()).unwrap_or_else(|error| panic!("{context}: the copy: {error}"));
        drop(copy);
        engine.delete_bank(&copy_name()).unwrap();
    }
    expected
}

/// Snapshots that were acknowledged are there, any that is there is whole, and each holds the state of its batch.
fn check_copies(data: &Path, before: &At, heard: &Heard, context: &str) -> u64 {
    let engine = engine(data);
    let mut checked = 0;
    for (file, batch) in &heard.copies {
        // A removal that was begun was said before.
        let taken = Engine::check_snapshot(Path::new(file), &|_, _| ()).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_eq!(taken.counts.batch, *batch, "{context}");
    }
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.is_file()).collect::<Vec<_>>() {
        if file.extension().is_some_and(|extension| extension == "bank") {
            let restored = engine.restore(&file, Some(&copy_name()), &|_, _| ());
            let (_, facts) = restored.unwrap_or_else(|error| panic!("{context}: {error}"));
            let mut expected = before.clone();
            for half in heard.acknowledged.iter().chain(&heard.perhaps) {
                if expected.batch == facts.counts.batch {
                    break;
                }
                expected.batch += apply(&mut expected.state, *half);
            }
            assert_eq!(expected.batch, facts.counts.batch, "{context}: {}", file.display());
            let copy = engine.bank(&copy_name()).unwrap();
            assert!(stored(&copy) == expected.state, "{context}: {} is of another state", file.display());
            check_searches(&copy, &expected.state, context);
            drop(copy);
            engine.delete_bank(&copy_name()).unwrap();
            checked += 1;
        }
        std::fs::remove_file(file).unwrap(); // also what is left of one that was not finished
    }
    checked
}

/// Each question is found by the vector of its text, as an exhaustive comparison finds it.
fn check_searches(bank: &Bank, expected: &State, context: &str) {
    let vectors: Vec<Vec<f32>> = expected.values().map(|question| LetterPairs::vector(&question.text)).collect();
    for vector in vectors.iter().step_by(67) {
        let request = SearchRequest { query: Query::Vector(vector.clone()), ..SearchRequest::text("", 10) };
        let hits = bank.search(&request).unwrap().hits;
        let dot = |other: &Vec<f32>| other.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
        let mut scores: Vec<f32> = vectors.iter().map(dot).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(hits.len(), 10.min(expected.len()), "{context}");
        for (hit, score) in hits.iter().zip(scores) {
            assert!((hit.score - score).abs() < 1e-5, "{context}: {} against {score}", hit.score);
            assert_eq!(Some(&hit.question), expected.get(&hit.question.id), "{context}");
        }
    }
}

#[test]
fn another_process_is_refused() {
    let data = tempfile::tempdir().unwrap();
    created(&engine(data.path()));
    let mut child = start(data.path(), 0);
    let said = lines(&mut child);
    while !said.recv_timeout(PATIENCE).expect("the worker has the bank open").starts_with("done") {}
    let refused = engine(data.path()).bank(&name()).map(|_| ()).unwrap_err();
    let files = simbert::engine::BankFiles::open(data.path(), &name()).map(|_| ()).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    for refused in [refused, files] {
        assert!(matches!(refused, simbert::Error::Unavailable { .. }), "{refused}");
        assert!(refused.to_string().contains("bank `faq` is not available: another process has it open"), "{refused}");
    }
    engine(data.path()).bank(&name()).unwrap();
}
