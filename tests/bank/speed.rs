//! How long things take: `cargo test --release --test bank -- --ignored --nocapture speed`.

use std::time::Instant;

use simbert::engine::{Query, SearchRequest};

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
