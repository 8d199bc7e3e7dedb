//! Measures indexes for `benches/peers/ann.py` and `growth.py`, which run it beside other libraries.
//!
//! - `ann search FILE KIND THREADS` builds one index over the vectors of a file, then searches it with each width that it
//!   reads from its input.
//! - `ann add FILE KIND THERE NEW` adds vectors one at a time to an index that holds some, and searches meanwhile.
//!
//! A kind is `off`, `f16` or `int8`, which are simbert's, or `hnsw_rs`, the crate that simbert's graphs were once made by.
//! Each answer is a line of JSON.

mod add;
mod clock;
mod engine;
mod vectors;

use std::path::Path;

use serde_json::json;
use simbert::index::instructions;

use add::add;
use clock::Clock;
use engine::Kind;
use vectors::Vectors;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Neighbours that a search asks for.
const K: usize = 10;

const USAGE: &str = "usage: ann search FILE KIND THREADS | ann add FILE KIND THERE NEW";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["search", file, kind, threads] => search(Path::new(file), kind.parse()?, threads.parse()?),
        ["add", file, kind, there, new] => {
            let vectors = Vectors::read(Path::new(file))?;
            println!("{}", add(&vectors, kind.parse()?, there.parse()?, new.parse()?)?);
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn search(file: &Path, kind: Kind, threads: usize) -> Result<()> {
    let Vectors { dimension, all, queries, truth } = Vectors::read(file)?;
    let clock = Clock::start();
    let engine = engine::build(kind, dimension, &all, threads)?;
    drop(all);
    let (seconds, cpu_seconds) = clock.seconds();
    println!(
        "{}",
        json!({
            "build_seconds": seconds,
            "build_cpu_seconds": cpu_seconds,
            "bytes": engine.bytes(),
            "instructions": instructions(),
        })
    );
    for width in std::io::stdin().lines() {
        let width: usize = width?.trim().parse()?;
        let mut right = 0;
        let clock = Clock::start();
        for (query, truth) in queries.chunks_exact(dimension).zip(truth.chunks_exact(K)) {
            right += engine.search(query, width)?.iter().filter(|id| truth.contains(id)).count();
        }
        let (seconds, cpu_seconds) = clock.seconds();
        let recall = right as f64 / truth.len() as f64;
        println!("{}", json!({"recall": recall, "seconds": seconds, "cpu_seconds": cpu_seconds}));
    }
    Ok(())
}
