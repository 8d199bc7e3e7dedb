//! A process that writes is killed at random moments; what it acknowledged must be there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use simbert::engine::{Query, SearchRequest};

use super::encoder::LetterPairs;
use super::*;

const DATA: &str = "SIMBERT_TEST_DATA";
const FIRST: &str = "SIMBERT_TEST_FIRST_BATCH";
const ROUNDS: u64 = 8;

/// Ids are shared between batches, so that batches insert, update and delete.
fn batch(n: u64) -> (Vec<Question>, Vec<QuestionId>) {
    let mut random = SmallRng::seed_from_u64(n);
    let upserts = (0..random.random_range(1..120)).map(|_| {
        let of = random.random_range(0..2000u64);
        let answer = (random.random_range(0..10) == 0).then(|| "长".repeat(random.random_range(1..5000)));
        Question { answer, ..question(of, &wording(of + n % 5)) }
    });
    let upserts = upserts.collect();
    let deletes = (0..random.random_range(0..5)).map(|_| id(random.random_range(0..2000u64))).collect();
    (upserts, deletes)
}

/// Not a test: the process that is killed. Says each batch before it starts and once it is acknowledged.
#[test]
#[ignore = "started by the test below"]
fn writer() {
    let Ok(data) = std::env::var(DATA) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let bank = engine(Path::new(&data)).bank(&name()).unwrap();
    for n in first.. {
        let (upserts, deletes) = batch(n);
        println!("\nstart {n}");
        bank.upsert(upserts).unwrap();
        println!("\nhalf {n}");
        bank.delete(&deletes).unwrap();
        println!("\ndone {n}");
    }
}

fn start(data: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["kill::writer", "--exact", "--ignored", "--nocapture"])
        .env(DATA, data)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

type State = BTreeMap<QuestionId, Question>;

fn upsert(state: &mut State, n: u64) {
    state.extend(batch(n).0.into_iter().map(|question| (question.id.clone(), question)));
}

fn delete(state: &mut State, n: u64) {
    batch(n).1.iter().for_each(|id| drop(state.remove(id)));
}

fn stored(bank: &Bank) -> State {
    bank.list(None, usize::MAX).unwrap().into_iter().map(|question| (question.id.clone(), question)).collect()
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let data = tempfile::tempdir().unwrap();
    created(&engine(data.path()));
    let mut random = SmallRng::seed_from_u64(1);
    let (mut expected, mut next) = (State::new(), 0);
    for round in 0..ROUNDS {
        let mut child = start(data.path(), next);
        let delay = Duration::from_millis(random.random_range(150..900));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        std::thread::sleep(delay);
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();

        // Everything said was acknowledged; what was begun last may be there as a whole, or not at all.
        let mut perhaps = None;
        for line in reader.join().unwrap() {
            let Some((what, n)) = line.split_once(' ') else { continue };
            let Ok(n) = n.parse::<u64>() else { continue };
            match what {
                "start" => perhaps = Some((n, true)),
                "half" => {
                    upsert(&mut expected, n);
                    perhaps = Some((n, false));
                }
                "done" => {
                    delete(&mut expected, n);
                    perhaps = None;
                    next = n + 1;
                }
                _ => {}
            }
        }
        let bank = engine(data.path()).bank(&name()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let found = stored(&bank);
        if found != expected {
            let (n, upserting) = perhaps.unwrap_or_else(|| panic!("round {round}: an acknowledged batch is not there"));
            if upserting {
                upsert(&mut expected, n);
            } else {
                delete(&mut expected, n);
            }
            assert!(found == expected, "round {round}: batch {n} is there in part");
        }
        next = perhaps.map_or(next, |(n, _)| n + 1);
        assert_eq!(bank.verify(&|_, _| ()).unwrap(), expected.len() as u64);
        check_searches(&bank, &expected);
    }
    assert!(next > 20, "the writer got to {next} batches only, which tests little");
}

/// Each question is found by the vector of its text, as an exhaustive comparison finds it.
fn check_searches(bank: &Bank, expected: &State) {
    for question in expected.values().step_by(37) {
        let vector = LetterPairs::vector(&question.text);
        let request = SearchRequest { query: Query::Vector(vector.clone()), ..SearchRequest::text("", 10) };
        let hits = bank.search(&request).unwrap().hits;
        let mut scores: Vec<f32> = expected
            .values()
            .map(|other| LetterPairs::vector(&other.text).iter().zip(&vector).map(|(a, b)| a * b).sum())
            .collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(hits.len(), 10.min(expected.len()));
        for (hit, score) in hits.iter().zip(scores) {
            assert!((hit.score - score).abs() < 1e-5, "{} against {score}", hit.score);
        }
        assert!(hits[0].score > 0.9999);
    }
}

#[test]
fn another_process_is_refused() {
    let data = tempfile::tempdir().unwrap();
    created(&engine(data.path()));
    let mut child = start(data.path(), 0);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("done")), "the writer has the bank open");
    let refused = engine(data.path()).bank(&name()).map(|_| ()).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(refused, simbert::Error::Unavailable { .. }), "{refused}");
    engine(data.path()).bank(&name()).unwrap();
}
