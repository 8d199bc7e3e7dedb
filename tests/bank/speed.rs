//! How long things take: `cargo test --release --test bank -- --ignored --nocapture --test-threads 1 speed`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use simbert::engine::{BankFiles, Query, SearchRequest};

use super::encoder::LetterPairs;
use super::*;

const QUESTIONS: u64 = 20_000;
const AT_ONCE: u64 = 500;
const QUERIES: u64 = 2000;

#[test]
#[ignore = "prints how long things take"]
fn speed() {
    let data = tempfile::tempdir().unwrap();
    {
        let bank = created(&engine(data.path()).without_graphs());
        let started = Instant::now();
        for first in (0..QUESTIONS).step_by(AT_ONCE as usize) {
            bank.upsert((first..first + AT_ONCE).map(|n| question(n, &wording(n))).collect()).unwrap();
        }
        println!("upsert of {QUESTIONS} questions, {AT_ONCE} at a time: {:.2?}", started.elapsed());
        println!("on disk: {} MiB", bank.status().unwrap().bytes_on_disk >> 20);
        let started = Instant::now();
        for n in 0..100 {
            bank.upsert(vec![question(n, &wording(n + 1))]).unwrap();
        }
        println!("upsert of one question: {:.2?}", started.elapsed() / 100);
    }
    let started = Instant::now();
    let bank = engine(data.path()).bank(&name()).unwrap();
    println!("reopening: {:.2?}", started.elapsed());
    let request = |n, exact| {
        let vector = LetterPairs::vector(&wording(n * 7 + 3));
        SearchRequest { exact, query: Query::Vector(vector), ..SearchRequest::text("", 10) }
    };
    let each = |what: &str, exact| {
        let requests: Vec<_> = (0..QUERIES).map(|n| request(n, exact)).collect();
        let mut times: Vec<_> = requests
            .iter()
            .map(|request| {
                let started = Instant::now();
                bank.search(request).unwrap();
                started.elapsed()
            })
            .collect();
        times.sort();
        let (median, tail) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("search, {what}: median {median:.0?}, 99th percentile {tail:.0?}");
        let started = Instant::now();
        bank.search_batch(&requests).unwrap();
        println!("search_batch, {what}: {:.0} a second", QUERIES as f64 / started.elapsed().as_secs_f64());
    };
    each("exact, while the graph is linked in the background", true);
    let started = Instant::now();
    bank.link_now(&|_, _| ()).unwrap();
    println!("linking the graph, remaining: {:.2?}", started.elapsed());
    each("exact", true);
    each("graph", false);
    let hits = |exact| {
        let found = (0..200).map(move |n| request(n, exact)).flat_map(|request| bank.search(&request).unwrap().hits);
        found.map(|hit| hit.question.id).collect::<Vec<_>>()
    };
    let same = hits(true).into_iter().zip(hits(false)).filter(|(exact, graph)| exact == graph).count();
    println!("places of 200 top tens that agree: {:.1} %", same as f64 / 20.0);
}

/// A vector of a topic's, deterministic and cheap to make.
fn topical(n: u64) -> Vec<f32> {
    let draw = |seed: u64| {
        let mut rng = SmallRng::seed_from_u64(seed);
        (0..encoder::WIDTH).map(move |_| rng.random::<f32>() - 0.5)
    };
    draw(n / 400).zip(draw(u64::MAX - n)).map(|(topic, own)| topic + 0.8 * own).collect()
}

#[test]
#[ignore = "prints how long things take"]
fn speed_of_a_large_bank() {
    let questions: u64 = std::env::var("SIMBERT_SPEED_QUESTIONS").map_or(100_000, |n| n.parse().unwrap());
    // The bank is kept and taken again where a folder for it is named.
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("SIMBERT_SPEED_DATA").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let timed = |what: &str, started: Instant| println!("{what}: {:.2?}, {} MiB at most", started.elapsed(), peak());
    let request = |n: u64| {
        let query = Query::Vector(topical(n));
        SearchRequest { query, ..SearchRequest::text("", 10) }
    };
    if !folder.join("banks/faq").exists() {
        let bank = created(&engine(&folder).without_graphs());
        let started = Instant::now();
        for first in (0..questions).step_by(5000) {
            let batch = (first..(first + 5000).min(questions)).map(|n| {
                let faq = Some(format!("f{}", n / 3));
                (Question { faq_id: faq, ..question(n, &wording(n)) }, topical(n))
            });
            bank.upsert_with_vectors(batch.collect()).unwrap();
        }
        timed(&format!("{questions} questions written"), started);
        let started = Instant::now();
        bank.link_now(&|_, _| ()).unwrap();
        timed("graph made", started);
    }
    let log = std::fs::metadata(folder.join("banks/faq/db")).unwrap().len();
    println!("sled's log: {} bytes a question", log / questions);
    for _ in 0..3 {
        let started = Instant::now();
        drop(BankFiles::open(&folder, &name()).unwrap());
        println!("files opened, and nothing read of them: {:.2?}", started.elapsed());
        forget_peak();
        let started = Instant::now();
        let engine = engine(&folder);
        let bank = engine.bank(&name()).unwrap();
        timed("opened", started);
        assert_eq!(bank.search(&request(17)).unwrap().hits[0].question.id, id(17));
        timed("first answer", started);
        let status = bank.status().unwrap();
        assert_eq!(status.questions_in_graph, questions);
        let mut times: Vec<_> = (0..2000u64)
            .map(|n| {
                let request = request(n * 487 % questions);
                let started = Instant::now();
                bank.search(&request).unwrap();
                started.elapsed()
            })
            .collect();
        times.sort();
        println!("search: median {:.0?}, 99th percentile {:.0?}", times[1000], times[1980]);
        let each = |bytes: u64| bytes / questions;
        println!(
            "a question: {} bytes of index in memory, {} on the disk",
            each(status.index_bytes),
            each(status.bytes_on_disk)
        );
    }
}

/// Questions a second, about as many as the bundled model encodes on two cores.
const PACE: u64 = 1000;

fn topical_questions(range: std::ops::Range<u64>) -> Vec<(Question, Vec<f32>)> {
    range.map(|n| (question(n, &wording(n)), topical(n))).collect()
}

#[test]
#[ignore = "prints how long things take"]
fn speed_while_segments_are_merged() {
    let questions: u64 = std::env::var("SIMBERT_SPEED_QUESTIONS").map_or(100_000, |n| n.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let engine = engine(data.path());
    let bank = created(&engine);
    let write = |range: std::ops::Range<u64>| {
        let (first, last) = (range.start, range.end);
        for first in (first..last).step_by(1000) {
            bank.upsert_with_vectors(topical_questions(first..(first + 1000).min(last))).unwrap();
        }
    };
    let searches = |what: &str, until: &dyn Fn(usize) -> bool| {
        let mut times = Vec::new();
        while !until(times.len()) {
            let query = Query::Vector(topical(times.len() as u64 * 487 % questions));
            let request = SearchRequest { query, ..SearchRequest::text("", 10) };
            let started = Instant::now();
            bank.search(&request).unwrap();
            times.push(started.elapsed());
        }
        times.sort();
        let at = |share: usize| times.get(times.len() * share / 1000).copied().unwrap_or_default();
        let (n, median, tail, most) = (times.len(), at(500), at(990), times.last());
        println!("{what}: {n} searches, median {median:.0?}, 99th percentile {tail:.0?}, most {most:.0?}");
        tail
    };
    let in_graph = || bank.status().unwrap().questions_in_graph;
    let started = Instant::now();
    let loaded = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(0..questions));
        searches("during a bulk load", &|_| writer.is_finished());
        started.elapsed()
    });
    println!("{questions} questions in {loaded:.1?}, {} of them without a graph then", questions - in_graph());
    bank.link_now(&|_, _| ()).unwrap();
    println!("all in one graph after {:.1?}", started.elapsed());
    searches("quiet", &|done| done == 5000);

    let come = PACE * 20;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let started = Instant::now();
            for n in (0..come).step_by(100) {
                bank.upsert_with_vectors(topical_questions(questions + n..questions + n + 100)).unwrap();
                let due = Duration::from_secs_f64(n as f64 / PACE as f64);
                std::thread::sleep(due.saturating_sub(started.elapsed()));
            }
        });
        searches(&format!("while {PACE} a second come"), &|_| writer.is_finished());
    });
    bank.link_now(&|_, _| ()).unwrap();
    searches("quiet", &|done| done == 5000);

    let (all, mut merging) = (2 * questions, Duration::ZERO);
    write(questions + come..all);
    std::thread::scope(|scope| {
        let merge = scope.spawn(|| bank.link_now(&|_, _| ()).unwrap());
        searches(&format!("while {} wait for their graph", all - in_graph()), &|_| in_graph() == all);
        merging = searches("while segments are merged", &|_| merge.is_finished());
    });
    let quiet = searches("quiet, twice as many", &|done| done == 5000);
    println!("ratio slowest_1_percent_while_merging_vs_quiet {:.3}", merging.as_secs_f64() / quiet.as_secs_f64());
}

/// MiB of memory that this process has used at most since the last [`forget_peak`]; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) >> 10
}

fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[test]
#[ignore = "prints how long things take"]
fn speed_of_snapshots() {
    let questions: u64 = std::env::var("SIMBERT_SPEED_QUESTIONS").map_or(100_000, |n| n.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("faq.bank");
    {
        let bank = created(&engine(data.path()).without_graphs());
        for first in (0..questions).step_by(AT_ONCE as usize) {
            bank.upsert((first..first + AT_ONCE).map(|n| question(n, &wording(n))).collect()).unwrap();
        }
        let stop = AtomicBool::new(false);
        let upserts = |until: &dyn Fn() -> bool| {
            let (mut times, mut n) = (Vec::new(), 0);
            while !until() {
                n += 1;
                let started = Instant::now();
                bank.upsert((0..20).map(|i| question(i * 97 + n, &wording(i * 31 + n * 7))).collect()).unwrap();
                let written = started.elapsed();
                let started = Instant::now();
                let request = SearchRequest {
                    query: Query::Vector(LetterPairs::vector("怎么")),
                    ..SearchRequest::text("", 10)
                };
                bank.search(&request).unwrap();
                times.push((written, started.elapsed()));
            }
            let of = |mut times: Vec<Duration>| {
                times.sort();
                (times[times.len() / 2], times[times.len() * 99 / 100], times[times.len() - 1])
            };
            let (writes, searches) = times.into_iter().unzip();
            format!("median, 99th percentile and most: upsert {:.1?}, search {:.1?}", of(writes), of(searches))
        };
        let end = Instant::now() + Duration::from_secs(3);
        println!("without a snapshot: {}", upserts(&|| Instant::now() > end));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let started = Instant::now();
                bank.snapshot(&file, false, &|_, _| ()).unwrap();
                println!("snapshot of {questions} questions under writes: {:.2?}", started.elapsed());
                stop.store(true, Ordering::Relaxed);
            });
            println!("during a snapshot: {}", upserts(&|| stop.load(Ordering::Relaxed)));
        });
    }
    let timed = |what: &str, work: &dyn Fn()| {
        forget_peak();
        let (before, started) = (peak(), Instant::now());
        work();
        println!("{what}: {:.2?}, memory {before} MiB before, {} at most", started.elapsed(), peak());
    };
    timed("snapshot of a closed bank", &|| {
        drop(BankFiles::open(data.path(), &name()).unwrap().snapshot(&file, true, &|_, _| ()).unwrap());
    });
    println!("{} MiB in the snapshot", std::fs::metadata(&file).unwrap().len() >> 20);
    timed("check of a snapshot", &|| drop(Engine::check_snapshot(&file, &|_, _| ()).unwrap()));
    let copy = BankName::new("copy").unwrap();
    timed("restore", &|| drop(engine(data.path()).restore(&file, Some(&copy), &|_, _| ()).unwrap()));
    timed("verify", &|| drop(BankFiles::open(data.path(), &copy).unwrap().verify(&|_, _| ()).unwrap()));
    timed("export", &|| {
        let files = BankFiles::open(data.path(), &copy).unwrap();
        let mut write = |question| {
            std::hint::black_box(serde_json::to_vec(&question).unwrap());
            Ok(())
        };
        files.export(None, &mut write, &|_, _| ()).unwrap();
    });
}
