//! hnsw_rs, fenced in.
//!
//! What it does with bad input, and what is done about it (0.3.5, read in its source):
//! - exits the process for more than 256 links: [`HnswSettings::check`](super::HnswSettings::check);
//! - panics on a distance that is NaN or negative: vectors are checked, the distance is clamped;
//! - panics in a filtered search of width 1 whose entry point the filter refuses: the width is 2 or more;
//! - counts a refused entry point among the k found: one more is asked for;
//! - points inserted in parallel into an empty graph may never be linked: the first goes in alone;
//! - equal vectors link to each other only, up to an island that no search reaches: one of them stands for all.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hnsw_rs::hnsw::Hnsw;
use parking_lot::RwLock;
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::HnswSettings;
use super::distance::InnerProduct;
use super::rows::Rows;
use crate::Result;

/// Layers of a graph; with 16 links, the top one is reached once in 16^15 points.
const LAYERS: usize = 16;

/// A graph over vectors. It is searched while it grows; it never shrinks.
pub(super) struct Graph {
    hnsw: Hnsw<'static, f32, InnerProduct>,
    twins: RwLock<Twins>,
}

/// Ids whose vectors are equal to the last bit.
#[derive(Default)]
struct Twins {
    hasher: RandomState,
    /// The id in the graph, by its vector's hash.
    by_hash: HashMap<u64, u32>,
    /// The ids that a graph's id stands for besides itself.
    of: HashMap<u32, Vec<u32>>,
}

impl Graph {
    /// An empty graph; `settings` were checked.
    pub(super) fn new(settings: HnswSettings, expected: usize) -> Self {
        let hnsw = Hnsw::new(settings.links, expected, LAYERS, settings.build_width, InnerProduct);
        Self { hnsw, twins: RwLock::default() }
    }

    /// Takes in `ids`: notes those that are equal to one that is there, and returns copies of the others' vectors,
    /// to be linked by [`Graph::link`]. Only one thread may prepare and link at a time.
    pub(super) fn prepare(&self, ids: &[u32], rows: &Rows) -> Result<Vec<(Vec<f32>, usize)>> {
        let mut twins = self.twins.write();
        let mut new = Vec::with_capacity(ids.len());
        for &id in ids {
            let vector = rows.row(id)?;
            let hash = twins.hasher.hash_one(bytemuck::cast_slice::<f32, u8>(vector));
            match twins.by_hash.get(&hash).copied() {
                Some(first) if rows.row(first)? == vector => twins.of.entry(first).or_default().push(id),
                found => {
                    if found.is_none() {
                        twins.by_hash.insert(hash, id);
                    }
                    new.push((vector.to_vec(), id as usize));
                }
            }
        }
        Ok(new)
    }

    /// Links prepared vectors into the graph, on the threads of the current rayon pool.
    pub(super) fn link(&self, prepared: &[(Vec<f32>, usize)]) {
        let (alone, rest) = prepared.split_at(usize::from(self.hnsw.get_nb_point() == 0).min(prepared.len()));
        for (vector, id) in alone {
            self.hnsw.insert((vector, *id));
        }
        rest.par_iter().with_max_len(1).for_each(|(vector, id)| self.hnsw.insert((vector, *id)));
    }

    /// About the `k` nearest ids, in no order; all of `allowed`, where given. `vector` was checked.
    pub(super) fn nearest(&self, vector: &[f32], k: usize, width: usize, allowed: Option<&RoaringBitmap>) -> Vec<u32> {
        let twins = self.twins.read();
        let others = |id: u32| twins.of.get(&id).map_or(&[][..], Vec::as_slice);
        let passes = |id: u32| allowed.is_none_or(|allowed| allowed.contains(id));
        let any_passes = |id: &usize| passes(*id as u32) || others(*id as u32).iter().any(|&id| passes(id));
        let found = match allowed {
            None => self.hnsw.search_filter(vector, k + 1, width.max(k + 1).max(2), None),
            Some(_) => self.hnsw.search_filter(vector, k + 1, width.max(k + 1).max(2), Some(&any_passes)),
        };
        let ids = found.iter().map(|point| point.get_origin_id() as u32);
        ids.flat_map(|id| std::iter::once(id).chain(others(id).iter().copied())).filter(|&id| passes(id)).collect()
    }
}
