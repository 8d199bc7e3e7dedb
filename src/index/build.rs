//! Builds a [`FlatGraph`] from many rows at once.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::aligned::roomy;
use super::codes::{Codes, Prepared};
use super::distance::prefetch;
use super::flat::{FlatGraph, Links, stride};
use super::scratch::{Scored, Scratch};
use super::walk::Walk;
use super::{HnswSettings, Progress};
use crate::{Error, Result};

/// Layers at most; with 16 links, the highest is reached once in 16^15 nodes.
const MOST_LAYERS: usize = 16;

/// So many nodes are linked one after the other first: nodes that are linked at the same time do not see each other.
const ALONE: usize = 256;

/// How often a thread looks at the stop sign and tells of its progress, in nodes.
const REPORT_EVERY: usize = 64;

/// The order in which `n` rows are linked: (level, row), the highest levels first, rows of one level shuffled, so that
/// rows that are linked at the same time are not alike even where alike ones came together. A row is in all layers up
/// to its level. All follows from the seed.
pub(super) fn levels(n: usize, links: usize, seed: u64) -> Vec<(u8, u32)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let scale = 1.0 / (links.max(2) as f64).ln();
    let mut level = || ((-(1.0 - random.random::<f64>()).ln() * scale) as usize).min(MOST_LAYERS - 1) as u8;
    let mut order: Vec<(u8, u32)> = (0..n as u32).map(|row| (level(), row)).collect();
    order.shuffle(&mut random);
    order.sort_by_key(|&(level, _)| std::cmp::Reverse(level));
    order
}

/// A layer that grows. Walks read the numbers of neighbours without a lock: whatever they see is a node of the layer.
struct Layer {
    stride: usize,
    /// `[nodes × stride]`; the unused end of a list is filled with the node itself.
    neighbours: Vec<AtomicU32>,
    /// The bits of each neighbour's score; sorted, the best first. Only under the node's lock.
    scores: Vec<AtomicU32>,
    /// How many neighbours a node has; held by who changes them.
    degrees: Vec<Mutex<u16>>,
}

impl Layer {
    fn new(nodes: usize, stride: usize) -> Self {
        let mut neighbours = roomy(nodes * stride);
        neighbours.extend((0..nodes * stride).map(|i| AtomicU32::new((i / stride) as u32)));
        let mut scores = roomy(nodes * stride);
        scores.extend((0..nodes * stride).map(|_| AtomicU32::new(0)));
        Self { stride, neighbours, scores, degrees: (0..nodes).map(|_| Mutex::new(0)).collect() }
    }

    /// Writes a node's list, best first, under its lock.
    fn write(&self, node: u32, degree: &mut u16, list: &[Scored]) {
        let start = node as usize * self.stride;
        for i in 0..self.stride.min(list.len().max(usize::from(*degree))) {
            let (id, score) = list.get(i).map_or((node, 0.0), |entry| (entry.node, entry.score));
            self.neighbours[start + i].store(id, Relaxed);
            self.scores[start + i].store(score.to_bits(), Relaxed);
        }
        *degree = list.len() as u16; // at most the stride, 256
    }
}

struct Growing(Vec<Layer>);

impl Links for Growing {
    #[inline(always)]
    unsafe fn each(&self, layer: usize, node: u32, mut found: impl FnMut(u32)) {
        // SAFETY: the caller names a node of a layer that is there; each has `stride` neighbours.
        let neighbours = unsafe {
            let layer = self.0.get_unchecked(layer);
            let start = node as usize * layer.stride;
            layer.neighbours.get_unchecked(start..start + layer.stride)
        };
        neighbours.iter().for_each(|id| found(id.load(Relaxed)));
    }

    #[inline(always)]
    fn prefetch(&self, node: u32) {
        let Layer { stride, neighbours, .. } = &self.0[0];
        let start = neighbours.as_ptr().cast::<u8>().wrapping_add(node as usize * stride * size_of::<u32>());
        for line in 0..=(stride * size_of::<u32>() / 64).min(4) {
            prefetch(start.wrapping_add(64 * line));
        }
    }

    fn top(&self) -> usize {
        self.0.len() - 1
    }
}

/// Links the rows of `codes` into a graph. Row i is in all layers up to `levels[i]`; levels never rise from one row to
/// the next. `progress` is told of rows.
///
/// # Errors
/// Cancelled by `stop`; there are no rows; or a thread could not be started.
pub(super) fn build(
    codes: &Codes,
    levels: &[u8],
    settings: &HnswSettings,
    threads: usize,
    stop: &AtomicBool,
    progress: &Progress<'_>,
) -> Result<FlatGraph> {
    assert!(levels.len() == codes.len() && levels.is_sorted_by(|a, b| a >= b), "one level for each row, highest first");
    let Some(&top) = levels.first() else { return Err(Error::invalid("graph", "one row or more", "none")) };
    let layers = (0..=usize::from(top)).map(|layer| {
        let nodes = levels.partition_point(|&level| usize::from(level) >= layer);
        Layer::new(nodes, stride(settings.links, layer))
    });
    let graph = Growing(layers.collect());
    let builder = Builder { graph: &graph, codes, levels, settings, next: AtomicUsize::new(1) };
    builder.work(ALONE.min(codes.len()), stop, progress);
    if threads < 2 {
        builder.work(codes.len(), stop, progress);
    } else {
        std::thread::scope(|scope| {
            let start = |i| {
                std::thread::Builder::new()
                    .name(format!("graph-{i}"))
                    .spawn_scoped(scope, || builder.work(codes.len(), stop, progress))
            };
            (0..threads).try_for_each(|i| start(i).map(drop))
        })
        .map_err(|e| Error::Unavailable { what: "a thread that links vectors".to_owned(), reason: e.to_string() })?;
    }
    if stop.load(Relaxed) {
        return Err(Error::Cancelled { what: "linking vectors".to_owned() });
    }
    let parts: Vec<Vec<u32>> =
        graph.0.into_iter().map(|layer| layer.neighbours.into_iter().map(AtomicU32::into_inner).collect()).collect();
    FlatGraph::from_parts(settings.links, parts.iter().map(Vec::as_slice))
}

struct Builder<'a> {
    graph: &'a Growing,
    codes: &'a Codes,
    levels: &'a [u8],
    settings: &'a HnswSettings,
    /// The next row to link.
    next: AtomicUsize,
}

/// What a thread that builds writes on, beside its walks' scratch.
#[derive(Default)]
struct Desk {
    scratch: Scratch,
    chooser: Chooser,
    /// Neighbours chosen in each layer, lowest first.
    chosen: Vec<Vec<Scored>>,
    list: Vec<Scored>,
}

impl Builder<'_> {
    /// Links rows below `end` until none is left, or `stop` is set.
    fn work(&self, end: usize, stop: &AtomicBool, progress: &Progress<'_>) {
        let mut desk = Desk::default();
        while !stop.load(Relaxed) {
            let first = self.next.fetch_add(1, Relaxed);
            if first >= end {
                self.next.fetch_min(end, Relaxed);
                break;
            }
            self.link(first as u32, &mut desk);
            if first.is_multiple_of(REPORT_EVERY) || first + 1 == self.codes.len() {
                progress(first as u64 + 1, self.codes.len() as u64);
            }
        }
    }

    fn link(&self, node: u32, desk: &mut Desk) {
        let Desk { scratch, chooser, chosen, list } = desk;
        // SAFETY: all numbers in the growing graph are of nodes in their layer: the lists start with their own node,
        // and only neighbours found in that layer, or a node of its level, are ever written.
        let walk = unsafe { Walk::new(self.graph, self.codes) };
        self.codes.prepare_row(node, &mut scratch.query);
        let level = usize::from(self.levels[node as usize]);
        chosen.resize_with(level + 1, Vec::new);
        // SAFETY: node 0 is of the highest level; the query was just prepared.
        let mut from = unsafe { walk.descend(walk.score(scratch, 0), level, scratch) };
        for layer in (0..=level).rev() {
            // SAFETY: `from` is in the layer above, or was where the descent ended, and so in this one.
            unsafe { walk.explore(std::iter::once(from), layer, self.settings.build_width, scratch) };
            if let Some(best) = scratch.beam.iter().next() {
                from = best;
            }
            let found = scratch.beam.iter().filter(|found| found.node != node);
            chooser.choose(self.codes, found, self.settings.links, &mut chosen[layer]);
        }
        // From below, all own lists first: who finds this node in a layer goes down through those under it.
        for (layer, chosen) in self.graph.0.iter().zip(&*chosen) {
            layer.write(node, &mut layer.degrees[node as usize].lock(), chosen);
        }
        for (layer, chosen) in self.graph.0.iter().zip(&*chosen) {
            for &Scored { score, node: neighbour } in chosen {
                self.link_back(layer, neighbour, Scored { score, node }, chooser, list);
            }
        }
    }

    /// Adds a neighbour to a node's list; where that is full, the list is chosen anew.
    fn link_back(&self, layer: &Layer, node: u32, new: Scored, chooser: &mut Chooser, list: &mut Vec<Scored>) {
        let start = node as usize * layer.stride;
        let mut degree = layer.degrees[node as usize].lock();
        list.clear();
        list.extend((start..start + usize::from(*degree)).map(|i| Scored {
            score: f32::from_bits(layer.scores[i].load(Relaxed)),
            node: layer.neighbours[i].load(Relaxed),
        }));
        if list.iter().any(|entry| entry.node == new.node) {
            return; // two nodes that were linked at the same time chose each other
        }
        list.insert(list.partition_point(|entry| entry.score >= new.score), new);
        if list.len() > layer.stride {
            let mut kept = std::mem::take(&mut chooser.kept);
            chooser.choose(self.codes, list.iter().copied(), layer.stride, &mut kept);
            layer.write(node, &mut degree, &kept);
            chooser.kept = kept;
        } else {
            layer.write(node, &mut degree, list);
        }
    }
}

/// Chooses neighbours that lie in different directions.
#[derive(Default)]
struct Chooser {
    query: Prepared,
    left: Vec<Scored>,
    ids: Vec<u32>,
    scores: Vec<f32>,
    kept: Vec<Scored>,
}

impl Chooser {
    /// Of candidates, best first, up to `most` of which none is nearer to a better one than to the node itself
    /// (Malkov & Yashunin 2018, algorithm 4).
    ///
    /// Each one that is chosen strikes out all that are nearer to it: the same comparisons as going through the
    /// candidates one by one, but many at once.
    fn choose(
        &mut self,
        codes: &Codes,
        candidates: impl Iterator<Item = Scored>,
        most: usize,
        chosen: &mut Vec<Scored>,
    ) {
        let Self { query, left, ids, scores, .. } = self;
        chosen.clear();
        left.clear();
        left.extend(candidates);
        while let Some((&best, rest)) = left.split_first() {
            chosen.push(best);
            if chosen.len() == most || rest.is_empty() {
                break;
            }
            ids.clear();
            ids.extend(rest.iter().map(|candidate| candidate.node));
            scores.resize(ids.len(), 0.0);
            codes.prepare_row(best.node, query);
            // SAFETY: candidates are nodes, so they have rows; the query was just prepared.
            unsafe { codes.score(query, ids, scores) };
            let mut kept = 0;
            for (i, &score) in scores.iter().enumerate() {
                let candidate = left[i + 1];
                left[kept] = candidate;
                kept += usize::from(score <= candidate.score);
            }
            left.truncate(kept);
        }
    }
}
