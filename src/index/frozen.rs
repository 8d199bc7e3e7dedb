//! A segment that no longer changes: coded rows and a flat graph over them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicBool;

use super::build::{build, levels};
use super::codes::{Codes, MOST_COMPONENTS, Quantisation};
use super::flat::FlatGraph;
use super::scratch::{MOST_NODES, Pool, Scratch};
use super::top::Top;
use super::walk::Walk;
use super::{HnswSettings, Neighbour, Progress, check_unit, dot};
use crate::{Error, Result};

/// Where the exact vectors are, by which what a walk finds is scored again. They are read for the best candidates
/// only, so they need not be in memory.
pub trait Originals: Sync {
    /// The vector of an id, where there is one.
    fn vector(&self, id: u32) -> Option<&[f32]>;
}

/// Candidates that are scored again for each neighbour wanted, beside a few more: rows of bytes misplace a neighbour by
/// a few ranks at most.
const RESCORED: usize = 2;

/// Vectors under ids, with a graph, for good.
///
/// Vectors whose codes are equal share a node: as nodes of their own they would link to each other only, up to an
/// island that no walk reaches.
#[derive(Debug)]
pub struct Frozen {
    dimension: usize,
    codes: Codes,
    graph: FlatGraph,
    /// The first id of each node.
    ids: Vec<u32>,
    /// Further ids of nodes: (node, id), sorted.
    twins: Vec<(u32, u32)>,
}

impl Frozen {
    /// Builds a segment of one vector or more, under distinct ids, with `threads` threads.
    ///
    /// # Errors
    /// A vector is not a unit vector of `dimension` components, a setting is out of its range, there are no vectors or
    /// too many, or `stop` was set.
    pub fn build(
        dimension: usize,
        items: &[(u32, &[f32])],
        quantisation: Quantisation,
        settings: &HnswSettings,
        threads: usize,
        stop: &AtomicBool,
        progress: &Progress<'_>,
    ) -> Result<Self> {
        settings.check()?;
        if items.is_empty() || items.len() > MOST_NODES || dimension > MOST_COMPONENTS {
            let expected = format!("1 to {MOST_NODES} vectors of at most {MOST_COMPONENTS} components");
            let received = format!("{} vectors of {dimension} components", items.len());
            return Err(Error::invalid("segment", expected, received));
        }
        let mut levels = levels(items.len(), settings.links, 0);
        levels.sort_unstable_by(|a, b| b.cmp(a));
        let mut segment = Sorter::new(dimension, quantisation, items.len());
        for &(id, vector) in items {
            check_unit(vector, dimension)?;
            segment.push(id, vector);
        }
        let Sorter { codes, ids, mut twins, .. } = segment.finish();
        twins.sort_unstable();
        levels.truncate(ids.len());
        let graph = build(&codes, &levels, settings, threads, stop, progress)?;
        Ok(Self { dimension, codes, graph, ids, twins })
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.ids.len() + self.twins.len()
    }

    /// Never: a segment has one vector or more.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All ids, in no order.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.ids.iter().copied().chain(self.twins.iter().map(|&(_, id)| id))
    }

    /// Bytes that a walk needs in memory: codes, graph and ids, without the exact vectors.
    pub fn bytes(&self) -> usize {
        self.codes.bytes() + self.graph.bytes() + size_of_val(&*self.ids) + size_of_val(&*self.twins)
    }

    fn twins(&self, node: u32) -> impl Iterator<Item = u32> {
        let start = self.twins.partition_point(|&(other, _)| other < node);
        self.twins[start..].iter().take_while(move |&&(other, _)| other == node).map(|&(_, id)| id)
    }

    /// The `k` nearest of what a walk of `width` finds, best first.
    ///
    /// # Errors
    /// `originals` lacks one of them.
    pub fn search(
        &self,
        vector: &[f32],
        k: usize,
        width: usize,
        originals: &dyn Originals,
        pool: &Pool,
    ) -> Result<Vec<Neighbour>> {
        pool.with(|scratch| {
            self.walk(vector, width.max(k), scratch);
            self.rescore(vector, k, scratch, originals)
        })
    }

    fn walk(&self, vector: &[f32], width: usize, scratch: &mut Scratch) {
        self.codes.prepare(vector, &mut scratch.query);
        // SAFETY: the graph has as many nodes as the codes have rows, and is valid by `FlatGraph::from_parts`.
        let walk = unsafe { Walk::new(&self.graph, &self.codes) };
        let from = walk.score(scratch, 0);
        // SAFETY: node 0 is in all layers, so the descent ends at a node of the lowest; the query was just prepared.
        unsafe {
            let from = walk.descend(from, 0, scratch);
            walk.explore(std::iter::once(from), 0, width, scratch);
        }
    }

    fn rescore(
        &self,
        vector: &[f32],
        k: usize,
        scratch: &Scratch,
        originals: &dyn Originals,
    ) -> Result<Vec<Neighbour>> {
        let mut top = Top::new(k);
        let rescored = k * RESCORED + 8;
        for found in scratch.beam.iter().take(rescored) {
            let first = self.ids[found.node as usize];
            for id in std::iter::once(first).chain(self.twins(found.node)) {
                let missing = || Error::Internal(format!("a segment holds id {id} without a vector"));
                top.push(Neighbour { id, score: dot(vector, originals.vector(id).ok_or_else(missing)?) });
            }
        }
        Ok(top.into_best_first())
    }
}

/// Puts vectors into nodes, equal ones into one.
struct Sorter {
    codes: Codes,
    ids: Vec<u32>,
    twins: Vec<(u32, u32)>,
    hasher: RandomState,
    by_hash: HashMap<u64, u32>,
}

impl Sorter {
    fn new(dimension: usize, quantisation: Quantisation, n: usize) -> Self {
        Self {
            codes: Codes::zeroed(quantisation, dimension, n),
            ids: Vec::with_capacity(n),
            twins: Vec::new(),
            hasher: RandomState::new(),
            by_hash: HashMap::with_capacity(n),
        }
    }

    fn push(&mut self, id: u32, vector: &[f32]) {
        let node = self.ids.len() as u32; // there are at most MOST_NODES
        self.codes.set(node, vector);
        let hash = self.hasher.hash_one(self.codes.row(node));
        match self.by_hash.get(&hash) {
            Some(&first) if self.codes.row(first) == self.codes.row(node) => self.twins.push((first, id)),
            found => {
                if found.is_none() {
                    self.by_hash.insert(hash, node);
                }
                self.ids.push(id);
            }
        }
    }

    /// Drops the room that twins did not need.
    fn finish(mut self) -> Self {
        if !self.twins.is_empty() {
            self.codes.truncate(self.ids.len());
        }
        self
    }
}
