//! Search by comparing with every vector.

use parking_lot::RwLock;
use roaring::RoaringBitmap;

use super::rows::Rows;
use super::top::Top;
use super::{Neighbour, VectorIndex, VectorQuery, check_unit, dot};
use crate::{Error, Result};

/// From so many comparisons on, one search uses several threads; below, starting them costs more than it gains.
const PARALLEL_FROM: u64 = 50_000;

/// Compares with every live vector: always right, and the fastest way through some thousand of them.
pub struct Exact {
    table: RwLock<Table>,
}

impl Exact {
    /// An empty index of vectors `dimension` wide.
    pub fn new(dimension: usize) -> Self {
        Self { table: RwLock::new(Table::new(dimension)) }
    }
}

impl VectorIndex for Exact {
    fn dimension(&self) -> usize {
        self.table.read().rows.dimension()
    }

    fn len(&self) -> usize {
        self.table.read().live.len() as usize
    }

    fn insert(&self, items: &[(u32, &[f32])]) -> Result<()> {
        self.table.write().insert(items)
    }

    fn remove(&self, ids: &[u32]) {
        self.table.write().remove(ids);
    }

    fn search(&self, query: VectorQuery<'_>) -> Result<Vec<Neighbour>> {
        let table = self.table.read();
        check_unit(query.vector, table.rows.dimension())?;
        let filtered = query.allowed.map(|allowed| allowed & &table.live);
        table.nearest(query.vector, query.k, filtered.as_ref().unwrap_or(&table.live))
    }
}

/// Vectors and which of them are live.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: Rows,
    pub(super) live: RoaringBitmap,
    /// Every id ever inserted; a graph cannot forget a point, so an id names one vector for good.
    used: RoaringBitmap,
}

impl Table {
    pub(super) fn new(dimension: usize) -> Self {
        Self { rows: Rows::new(dimension), live: RoaringBitmap::new(), used: RoaringBitmap::new() }
    }

    /// See [`VectorIndex::insert`].
    pub(super) fn insert(&mut self, items: &[(u32, &[f32])]) -> Result<()> {
        let mut new = RoaringBitmap::new();
        for &(id, vector) in items {
            check_unit(vector, self.rows.dimension())?;
            if self.used.contains(id) || !new.insert(id) {
                return Err(Error::invalid("vector id", "an id that was never used in this index", id));
            }
        }
        for &(id, vector) in items {
            self.rows.set(id, vector);
        }
        self.live |= &new;
        self.used |= new;
        Ok(())
    }

    /// See [`VectorIndex::remove`].
    pub(super) fn remove(&mut self, ids: &[u32]) {
        for &id in ids {
            self.live.remove(id);
        }
    }

    /// The best `k` among `ids`, all of which have a row.
    pub(super) fn nearest(&self, vector: &[f32], k: usize, ids: &RoaringBitmap) -> Result<Vec<Neighbour>> {
        let mut top = Top::new(k);
        for neighbour in self.scan(vector, k, ids)?.into_iter().flatten() {
            top.push(neighbour);
        }
        Ok(top.into_best_first())
    }

    /// The best `k` of each part of `ids`.
    ///
    /// Threads of its own rather than rayon's: the caller holds a lock, and a rayon thread that waits here would
    /// take up other work meanwhile, which may want the same lock again behind a waiting writer. Inside a rayon
    /// thread (a batch of searches) the cores are busy already, and one thread does it all.
    fn scan(&self, vector: &[f32], k: usize, ids: &RoaringBitmap) -> Result<Vec<Vec<Neighbour>>> {
        let n = ids.len();
        if n < PARALLEL_FROM || rayon::current_thread_index().is_some() {
            return Ok(vec![self.scan_part(vector, k, ids.iter())?]);
        }
        let threads = rayon::current_num_threads().clamp(1, 16) as u64;
        let bound = |part: u64| ids.select((n * part / threads) as u32).map_or(u64::from(u32::MAX) + 1, u64::from);
        std::thread::scope(|scope| {
            let parts: Vec<_> = (0..threads)
                .map(|part| {
                    let (start, end) = (bound(part), bound(part + 1));
                    scope.spawn(move || {
                        let range = ids.range(start as u32..=(end - 1) as u32); // end > start, as part < n
                        self.scan_part(vector, k, range)
                    })
                })
                .collect();
            let joined = parts.into_iter().map(|part| {
                part.join().unwrap_or_else(|_| Err(Error::Internal("a thread of an exact search panicked".to_owned())))
            });
            joined.collect()
        })
    }

    fn scan_part(&self, vector: &[f32], k: usize, ids: impl Iterator<Item = u32>) -> Result<Vec<Neighbour>> {
        let mut top = Top::new(k);
        for id in ids {
            top.push(Neighbour { id, score: dot(vector, self.rows.row(id)?) });
        }
        Ok(top.into_best_first())
    }
}
