//! Vectors that come one at a time.

use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use simbert::index::{HnswSettings, Pace, Segments, VectorIndex, VectorQuery, dot};

use crate::clock::Clock;
use crate::engine::{Engine, Graph, Kind};
use crate::vectors::Vectors;
use crate::{K, Result};

/// Vectors added between two searches.
const SEARCH_EVERY: usize = 10;

/// An index that takes in vectors one at a time.
trait Growing {
    /// Takes in a vector, which later searches find.
    fn insert(&self, item: (u32, &[f32])) -> Result<()>;

    /// The work that is due, and may be done in the background.
    fn maintain(&self);

    /// The numbers of about the [`K`] nearest vectors.
    fn search(&self, query: &[f32]) -> Result<Vec<u32>>;
}

impl Growing for Segments {
    fn insert(&self, item: (u32, &[f32])) -> Result<()> {
        Ok(VectorIndex::insert(self, &[item])?)
    }

    fn maintain(&self) {
        VectorIndex::maintain(self, Pace::Quiet, &AtomicBool::new(false), &|_, _| ());
    }

    fn search(&self, query: &[f32]) -> Result<Vec<u32>> {
        let query = VectorQuery { vector: query, k: K, allowed: None, exact: false };
        Ok(VectorIndex::search(self, query)?.iter().map(|found| found.id).collect())
    }
}

impl Growing for Graph {
    fn insert(&self, item: (u32, &[f32])) -> Result<()> {
        Graph::insert(self, item);
        Ok(())
    }

    fn maintain(&self) {}

    fn search(&self, query: &[f32]) -> Result<Vec<u32>> {
        Engine::search(self, query, HnswSettings::default().search_width)
    }
}

/// Adds `new` vectors to an index of `there`, on one thread, with a search after every few. Reports milliseconds of
/// processor time of an insert, of the maintenance that falls to it, and of a search: the median and the slowest 1 %.
pub fn add(vectors: &Vectors, kind: Kind, there: usize, new: usize) -> Result<Value> {
    let rows: Vec<&[f32]> = vectors.all.chunks_exact(vectors.dimension).take(there + new).collect();
    if rows.len() < there + new || new < SEARCH_EVERY {
        let expected = format!("{SEARCH_EVERY} new vectors or more, and {} in all", there + new);
        return Err(format!("expected {expected}, received {new} and {}", rows.len()).into());
    }
    let items: Vec<(u32, &[f32])> = (0..).zip(rows.iter().copied()).collect();
    let (old, added) = items.split_at(there);
    let index: Box<dyn Growing> = match kind {
        Kind::Simbert(quantisation) => {
            let settings = HnswSettings { quantisation, build_threads: 1, ..HnswSettings::default() };
            let segments = Segments::new(vectors.dimension, settings)?;
            VectorIndex::insert(&segments, old)?;
            Box::new(segments)
        }
        Kind::HnswRs => {
            let graph = Graph::new(there + new);
            old.iter().for_each(|&item| graph.insert(item));
            Box::new(graph)
        }
    };
    index.maintain();

    let (mut inserting, mut maintaining, mut searches, mut right) = (0.0, 0.0, Vec::new(), 0);
    let mut queries = vectors.queries.chunks_exact(vectors.dimension).cycle();
    for (count, &item) in (1..).zip(added) {
        let clock = Clock::start();
        index.insert(item)?;
        inserting += clock.seconds().1;
        if count % SEARCH_EVERY == 0
            && let Some(query) = queries.next()
        {
            let clock = Clock::start();
            let found = index.search(query)?;
            searches.push(clock.seconds().1);
            let truth = nearest(query, &rows[..there + count]);
            right += found.iter().filter(|id| truth.contains(id)).count();
        }
        let clock = Clock::start();
        index.maintain();
        maintaining += clock.seconds().1;
    }
    searches.sort_by(f64::total_cmp);
    let milliseconds = |seconds: f64| 1e3 * seconds;
    Ok(json!({
        "insert_ms": milliseconds(inserting / new as f64),
        "maintain_ms": milliseconds(maintaining / new as f64),
        "search_ms": milliseconds(searches[searches.len() / 2]),
        "slow_search_ms": milliseconds(searches[searches.len() * 99 / 100]),
        "recall": right as f64 / (K * searches.len()) as f64,
    }))
}

/// The numbers of the [`K`] nearest of `rows`, by comparing with all.
fn nearest(query: &[f32], rows: &[&[f32]]) -> Vec<u32> {
    let mut scored: Vec<(f32, u32)> = rows.iter().zip(0..).map(|(row, number)| (dot(query, row), number)).collect();
    let (best, ..) = scored.select_nth_unstable_by(K.min(rows.len() - 1), |a, b| b.0.total_cmp(&a.0));
    best.iter().map(|&(_, number)| number).collect()
}
