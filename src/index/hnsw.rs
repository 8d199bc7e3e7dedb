//! A graph over most vectors, a comparison with the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use super::exact::Table;
use super::graph::Graph;
use super::{HnswSettings, Neighbour, Progress, VectorIndex, VectorQuery, check_unit};
use crate::{Error, Result};

/// The graph takes in new vectors when so many wait; fewer are compared one by one in some ten microseconds.
const WORTH_LINKING: u64 = 512;

/// Vectors linked between two looks at the stop sign, for each thread.
const LINKED_AT_ONCE: usize = 64;

/// Vectors with a graph. An insert only stores the vector; [`VectorIndex::maintain`] links it into the graph later,
/// in the background if you like. Until then each search compares with the waiting ones, so all are found at once.
pub struct Hnsw {
    settings: HnswSettings,
    state: RwLock<State>,
    /// Held by the one thread that changes the graph.
    maintenance: Mutex<()>,
}

struct State {
    table: Table,
    graph: Option<Arc<Graph>>,
    /// Ids in the graph, dead ones too.
    linked: RoaringBitmap,
    /// Live ids that are not in the graph.
    waiting: RoaringBitmap,
    /// How many ids in the graph are dead.
    dead: u64,
}

impl State {
    fn recount(&mut self) {
        self.waiting = &self.table.live - &self.linked;
        self.dead = self.linked.len() - self.linked.intersection_len(&self.table.live);
    }
}

impl Hnsw {
    /// An empty index of vectors `dimension` wide.
    ///
    /// # Errors
    /// A setting is out of its range.
    pub fn new(dimension: usize, settings: HnswSettings) -> Result<Self> {
        settings.check()?;
        let state = State {
            table: Table::new(dimension),
            graph: None,
            linked: RoaringBitmap::new(),
            waiting: RoaringBitmap::new(),
            dead: 0,
        };
        Ok(Self { settings, state: RwLock::new(state), maintenance: Mutex::new(()) })
    }

    /// Whether comparing with `allowed` vectors is quicker than finding them in a graph of `linked`: the graph must
    /// visit linked / allowed vectors for each one that it may keep.
    fn exact_is_quicker(&self, allowed: u64, linked: u64, width: usize) -> bool {
        let walk = (width as u64).saturating_mul(self.settings.walk_cost);
        allowed.saturating_mul(allowed) <= linked.saturating_mul(walk)
    }

    /// Links `ids` into `graph`; returns those it got to before `stop`.
    fn link(&self, graph: &Graph, ids: &[u32], stop: &AtomicBool, progress: &Progress<'_>) -> Result<RoaringBitmap> {
        let threads = self.settings.threads();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("graph-{i}"))
            .build()
            .map_err(|e| Error::Unavailable {
            what: "the graph's thread pool".to_owned(),
            reason: e.to_string(),
        })?;
        let mut linked = RoaringBitmap::new();
        for part in ids.chunks(LINKED_AT_ONCE * threads) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let prepared = graph.prepare(part, &self.state.read().table.rows)?;
            pool.install(|| graph.link(&prepared));
            linked.extend(part.iter().copied());
            progress(linked.len(), ids.len() as u64);
        }
        Ok(linked)
    }

    /// A graph over the live vectors only, in place of one with many dead ones or of none.
    fn rebuild(&self, stop: &AtomicBool, progress: &Progress<'_>) -> Result<()> {
        let ids: Vec<u32> = self.state.read().table.live.iter().collect();
        let graph = Graph::new(self.settings, ids.len());
        let linked = self.link(&graph, &ids, stop, progress)?;
        if linked.len() < ids.len() as u64 {
            return Ok(()); // stopped: the old graph stays
        }
        let mut state = self.state.write();
        let old = state.graph.replace(Arc::new(graph));
        state.linked = linked;
        state.recount();
        drop(state);
        drop(old); // taking a large graph apart is slow: after the lock
        Ok(())
    }

    fn maintain_once(&self, stop: &AtomicBool, progress: &Progress<'_>) -> Result<bool> {
        let state = self.state.read();
        let worth_a_graph =
            !self.exact_is_quicker(state.table.live.len(), state.table.live.len(), self.settings.search_width);
        let Some(graph) = state.graph.clone() else {
            drop(state);
            return if worth_a_graph { self.rebuild(stop, progress).map(|()| true) } else { Ok(false) };
        };
        if state.dead * 5 > state.linked.len() {
            drop(state);
            return self.rebuild(stop, progress).map(|()| true);
        }
        let waiting: Vec<u32> = state.waiting.iter().collect();
        drop(state);
        if (waiting.len() as u64) < WORTH_LINKING {
            return Ok(false);
        }
        let linked = self.link(&graph, &waiting, stop, progress)?;
        let mut state = self.state.write();
        state.linked |= linked;
        state.recount();
        Ok(true)
    }
}

impl VectorIndex for Hnsw {
    fn dimension(&self) -> usize {
        self.state.read().table.rows.dimension()
    }

    fn len(&self) -> usize {
        self.state.read().table.live.len() as usize
    }

    fn insert(&self, items: &[(u32, &[f32])]) -> Result<()> {
        let mut state = self.state.write();
        state.table.insert(items)?;
        state.waiting.extend(items.iter().map(|&(id, _)| id));
        Ok(())
    }

    fn remove(&self, ids: &[u32]) {
        let mut state = self.state.write();
        state.table.remove(ids);
        state.recount();
    }

    fn search(&self, query: VectorQuery<'_>) -> Result<Vec<Neighbour>> {
        let state = self.state.read();
        let table = &state.table;
        check_unit(query.vector, table.rows.dimension())?;
        let filtered = query.allowed.map(|allowed| allowed & &table.live);
        let allowed = filtered.as_ref().unwrap_or(&table.live);
        let k = query.k.min(allowed.len() as usize);
        let width = self.settings.search_width.max(k.saturating_mul(2));
        let graph = match &state.graph {
            Some(graph) if !query.exact && !self.exact_is_quicker(allowed.len(), state.linked.len(), width) => graph,
            _ => return table.nearest(query.vector, k, allowed),
        };
        let inside = (filtered.is_some() || state.dead > 0).then_some(allowed);
        let mut candidates: RoaringBitmap = graph.nearest(query.vector, k, width, inside).into_iter().collect();
        candidates &= allowed; // a vector removed while it was being linked is in the graph, but not counted as dead
        let waiting = &state.waiting & allowed;
        if candidates.union_len(&waiting) < k as u64 {
            return table.nearest(query.vector, k, allowed); // an island or a narrow filter hid some from the walk
        }
        if waiting.len() < WORTH_LINKING {
            for id in waiting {
                candidates.insert(id);
            }
        } else {
            candidates.extend(table.nearest(query.vector, k, &waiting)?.iter().map(|neighbour| neighbour.id));
        }
        table.nearest(query.vector, k, &candidates)
    }

    fn maintain(&self, stop: &AtomicBool, progress: &Progress<'_>) {
        let _one_at_a_time = self.maintenance.lock();
        while !stop.load(Ordering::Relaxed) {
            match self.maintain_once(stop, progress) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "the graph could not be extended; searches compare with every vector instead");
                    break;
                }
            }
        }
    }

    fn maintained(&self) -> usize {
        let state = self.state.read();
        (state.linked.len() - state.dead) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clustered, insert, small_graph};
    use super::*;

    #[test]
    fn a_graph_with_many_dead_is_rebuilt_without_them() {
        let vectors = clustered(2000, 16, 5);
        let index = Hnsw::new(16, small_graph()).unwrap();
        insert(&index, 0, &vectors);
        index.maintain(&AtomicBool::new(false), &|_, _| ());
        index.remove(&(0..600).collect::<Vec<_>>());
        let before = index.state.read().graph.clone().unwrap();
        index.maintain(&AtomicBool::new(false), &|_, _| ());
        let state = index.state.read();
        assert!(!Arc::ptr_eq(&before, state.graph.as_ref().unwrap()));
        assert_eq!((state.linked.len(), state.dead), (1400, 0));
    }
}
