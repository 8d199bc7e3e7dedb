//! A segment that no longer changes: coded rows and a flat graph over them, beside the exact vectors.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use roaring::RoaringBitmap;

use super::build::{build, levels};
use super::codes::{Codes, MOST_COMPONENTS, Quantisation};
use super::flat::FlatGraph;
use super::run::Run;
use super::scratch::{MOST_NODES, Pool, Scratch};
use super::top::Top;
use super::walk::Walk;
use super::{HnswSettings, Neighbour, Progress, StoredRows, check_unit};
use crate::{Error, Result};

/// Candidates that are scored again by the exact vectors, for each neighbour wanted and beside that: rows of bytes
/// misplace a neighbour by a few ranks at most.
const RESCORED: (usize, usize) = (2, 8);

/// From this share of nodes that pass a filter on, a walk pays no heed to it, keeps more instead, and drops what does
/// not pass afterwards.
const HEEDLESS_FROM: f64 = 0.5;

/// Seed of the levels and of the order in which vectors are linked.
const SEED: u64 = 0x5349_4d42;

/// Vectors under ids, with a graph, for good.
///
/// Vectors whose codes are equal share a node: as nodes of their own they would link to each other only, up to an
/// island that no walk reaches.
#[derive(Debug)]
pub struct Frozen {
    /// The exact vectors.
    run: Run,
    /// What walks compare; nothing where that is the exact rows.
    codes: Option<Codes>,
    graph: FlatGraph,
    /// The first vector of each node, by its number in the run.
    numbers: Vec<u32>,
    /// Further vectors of nodes: node and number, sorted.
    twins: Vec<[u32; 2]>,
    dimension: usize,
}

/// What a segment is besides its vectors, to be written down and read back: little but numbers, in slices that
/// `bytemuck` makes bytes of.
#[derive(Debug, Clone)]
pub struct FrozenParts<'a> {
    /// Ascending.
    pub ids: &'a [u32],
    /// The first vector of each node, by its number in the order of the ids.
    pub numbers: &'a [u32],
    /// Further vectors of nodes: node and number, sorted.
    pub twins: &'a [[u32; 2]],
    /// Neighbours of a node in the upper layers; twice that in the lowest.
    pub links: usize,
    /// The lowest first: lists of neighbours, short ones filled up with their own node.
    pub layers: Vec<&'a [u32]>,
    /// The nodes' rows as walks see them, each whole cache lines; none where those are the exact vectors.
    pub codes: &'a [u8],
    /// By which each row of bytes is multiplied.
    pub scales: &'a [f32],
}

impl Frozen {
    /// Builds a segment of one vector or more, under distinct ids, with so many threads.
    ///
    /// # Errors
    /// A vector is not a unit vector of `dimension` components, an id is there twice, a setting is out of its range,
    /// there are no vectors or too many, or `stop` was set.
    pub fn build(
        dimension: usize,
        mut items: Vec<(u32, &[f32])>,
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
        items.sort_unstable_by_key(|&(id, _)| id);
        if let Some(two) = items.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(Error::invalid("vector id", "distinct ids", format!("{} twice", two[0].0)));
        }
        items.iter().try_for_each(|(_, vector)| check_unit(vector, dimension))?;
        let order = levels(items.len(), settings.links, SEED);
        let nodes = Nodes::of(&items, dimension, settings.quantisation, &order);
        let graph = build(&nodes.codes, &nodes.levels, settings, threads, stop, progress)?;
        let Nodes { codes, numbers, mut twins, .. } = nodes;
        twins.sort_unstable();
        let ids = items.iter().map(|&(id, _)| id).collect();
        let (run, codes) = if settings.quantisation == Quantisation::Off {
            (Run::over(ids, codes, Some(places(&numbers, &twins))), None)
        } else {
            (Run::new(ids, dimension, items.iter().map(|&(_, vector)| vector)), Some(codes))
        };
        Ok(Self { run, codes, graph, numbers, twins, dimension })
    }

    /// A segment of its parts and its vectors.
    ///
    /// # Errors
    /// The parts are damaged, or are not those of the vectors; nothing that a walk relies on is taken on trust.
    pub fn from_parts(
        dimension: usize,
        quantisation: Quantisation,
        parts: &FrozenParts<'_>,
        rows: Arc<dyn StoredRows>,
    ) -> Result<Self> {
        let &FrozenParts { ids, numbers, twins, links, ref layers, codes, scales } = parts;
        let damaged = |expected: String, received: String| Error::invalid("parts of a segment", expected, received);
        let graph = FlatGraph::from_parts(links, layers.iter().copied())?;
        if numbers.len() + twins.len() != ids.len() || graph.len() != numbers.len() || dimension > MOST_COMPONENTS {
            let expected = format!("{} vectors, and as many numbers", ids.len());
            let received = format!("{} and {}, and {} nodes", numbers.len(), twins.len(), graph.len());
            return Err(damaged(expected, received));
        }
        if !ids.is_sorted_by(|a, b| a < b) || !twins.is_sorted() {
            return Err(damaged("sorted ids and twins".to_owned(), "others".to_owned()));
        }
        let all: RoaringBitmap = numbers.iter().copied().chain(twins.iter().map(|&[_, number]| number)).collect();
        let most = all.max().map_or(0, |most| most as usize);
        let node = twins.last().map_or(0, |&[node, _]| node as usize);
        if all.len() as usize != ids.len() || most >= ids.len() || node >= numbers.len() {
            return Err(damaged("each vector in one node".to_owned(), "one in several, or in none".to_owned()));
        }
        let run = Run::stored(ids.to_vec(), dimension, rows)?;
        let (run, codes) = if quantisation == Quantisation::Off {
            // Walks jump about among the exact rows: these are read into memory, in the order of the nodes.
            run.check_all()?;
            let mut rows = Codes::zeroed(quantisation, dimension, numbers.len());
            numbers.iter().zip(0..).for_each(|(&number, node)| rows.set(node, run.vector(number, dimension)));
            (Run::over(ids.to_vec(), rows, Some(places(numbers, twins))), None)
        } else {
            (run, Some(Codes::from_parts(quantisation, dimension, numbers.len(), (codes, scales))?))
        };
        Ok(Self { run, codes, graph, numbers: numbers.to_vec(), twins: twins.to_vec(), dimension })
    }

    /// Has the exact vectors read from a file from now on, where the walks do not need them in memory.
    ///
    /// # Errors
    /// The rows are too few.
    pub fn rest_on(&mut self, rows: Arc<dyn StoredRows>) -> Result<()> {
        if self.codes.is_some() {
            self.run = Run::stored(self.run.ids().to_vec(), self.dimension, rows)?;
        }
        Ok(())
    }

    /// The exact vectors, in the order of the ids.
    pub fn vectors(&self) -> impl Iterator<Item = &[f32]> {
        self.run.items(self.dimension).map(|(_, vector)| vector)
    }

    /// What it is besides its vectors.
    pub fn parts(&self) -> FrozenParts<'_> {
        let (codes, scales) = self.codes.as_ref().map(Codes::parts).unwrap_or_default();
        FrozenParts {
            codes,
            scales,
            ids: self.run.ids(),
            numbers: &self.numbers,
            twins: &self.twins,
            links: self.graph.links(),
            layers: self.graph.parts().collect(),
        }
    }

    /// Number of vectors, 1 or more.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.run.len()
    }

    /// Bytes that walks need in memory: codes, graph and ids. The exact vectors are not among them where there are
    /// codes beside them: few of them are read, so they could lie on a disk.
    pub fn bytes(&self) -> usize {
        let maps = size_of_val(&*self.numbers) + size_of_val(&*self.twins);
        self.codes().bytes() + self.graph.bytes() + self.run.bytes() + maps
    }

    /// How its walks see the vectors.
    pub fn quantisation(&self) -> Quantisation {
        self.codes().quantisation()
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    fn codes(&self) -> &Codes {
        self.codes.as_ref().unwrap_or(self.run.rows())
    }

    /// The numbers of a node's vectors.
    fn numbers_of(&self, node: u32) -> impl Iterator<Item = u32> {
        let start = match self.twins.is_empty() {
            true => 0,
            false => self.twins.partition_point(|&[other, _]| other < node),
        };
        let twins = self.twins[start..].iter().take_while(move |&&[other, _]| other == node);
        std::iter::once(self.numbers[node as usize]).chain(twins.map(|&[_, number]| number))
    }

    /// The `k` nearest of what a walk of `width` finds, best first.
    ///
    /// # Errors
    /// The query is not a unit vector of the segment's width.
    pub fn search(&self, vector: &[f32], k: usize, width: usize, pool: &Pool) -> Result<Vec<Neighbour>> {
        check_unit(vector, self.dimension)?;
        let mut top = Top::new(k);
        let damage = pool.with(|scratch| {
            self.walk(vector, k, width, scratch, &mut top);
            scratch.damage.take()
        });
        damage.map_or_else(|| Ok(top.into_best_first()), Err)
    }

    /// Shows `top` the nearest `k` and a few more. Returns whether it found as many as it could.
    pub(super) fn walk(&self, vector: &[f32], k: usize, width: usize, scratch: &mut Scratch, top: &mut Top) -> bool {
        self.explore(vector, width.max(k), scratch);
        self.rescore(vector, k, None, scratch, top) >= k.min(self.len())
    }

    /// Shows `top` the nearest `k` of `inside`, of which the segment holds `many`, and a few more. Gives up, and returns
    /// false, where it did not find as many as it could, or would have had to look at more nodes than `many`.
    pub(super) fn walk_inside(
        &self,
        vector: &[f32],
        k: usize,
        width: usize,
        (inside, many): (&RoaringBitmap, usize),
        scratch: &mut Scratch,
        top: &mut Top,
    ) -> bool {
        let share = many as f64 / self.len() as f64;
        let width = width.max(k);
        if share >= HEEDLESS_FROM {
            self.explore(vector, (width as f64 / share).ceil() as usize, scratch);
        } else {
            self.prepare(vector, scratch);
            let passes = |node| self.numbers_of(node).any(|number| inside.contains(self.run.id(number)));
            // SAFETY: see `explore`.
            let in_time = unsafe {
                let walk = Walk::new(&self.graph, self.codes());
                let from = walk.descend(walk.score(scratch, 0), 0, scratch);
                walk.explore_filtered(from, width, many, passes, scratch)
            };
            if !in_time {
                return false;
            }
        }
        self.rescore(vector, k, Some(inside), scratch, top) >= k.min(many)
    }

    fn prepare(&self, vector: &[f32], scratch: &mut Scratch) {
        self.codes().prepare(vector, &mut scratch.query);
    }

    fn explore(&self, vector: &[f32], width: usize, scratch: &mut Scratch) {
        self.prepare(vector, scratch);
        // SAFETY: the graph has as many nodes as the codes have rows, and is valid by `FlatGraph::from_parts`. Node 0 is
        // in all layers, so the descent ends at a node of the lowest; the query was just prepared.
        unsafe {
            let walk = Walk::new(&self.graph, self.codes());
            let from = walk.descend(walk.score(scratch, 0), 0, scratch);
            walk.explore(std::iter::once(from), 0, width, scratch);
        }
    }

    /// Shows `top` the exact scores of the best that a walk has found; returns how many vectors that were.
    fn rescore(
        &self,
        vector: &[f32],
        k: usize,
        inside: Option<&RoaringBitmap>,
        scratch: &mut Scratch,
        top: &mut Top,
    ) -> usize {
        let wanted = if self.codes.is_some() { RESCORED.0 * k + RESCORED.1 } else { k };
        let mut numbers = std::mem::take(&mut scratch.numbers);
        numbers.clear();
        for found in scratch.beam.iter() {
            let passes = |number: &u32| inside.is_none_or(|inside| inside.contains(self.run.id(*number)));
            numbers.extend(self.numbers_of(found.node).filter(passes));
            if numbers.len() >= wanted {
                break;
            }
        }
        self.run.score(vector, &numbers, scratch, top);
        let found = numbers.len();
        scratch.numbers = numbers;
        found
    }
}

/// Where each vector of a segment without codes is among its rows: at its node.
fn places(numbers: &[u32], twins: &[[u32; 2]]) -> Vec<u32> {
    let mut places = vec![0; numbers.len() + twins.len()];
    for (&number, node) in numbers.iter().zip(0..) {
        places[number as usize] = node;
    }
    for &[node, number] in twins {
        places[number as usize] = node;
    }
    places
}

/// Vectors put into nodes, those with equal codes into one.
struct Nodes {
    codes: Codes,
    levels: Vec<u8>,
    numbers: Vec<u32>,
    twins: Vec<[u32; 2]>,
}

impl Nodes {
    /// `order` names each item once, with its level; levels do not rise.
    fn of(items: &[(u32, &[f32])], dimension: usize, quantisation: Quantisation, order: &[(u8, u32)]) -> Self {
        let mut codes = Codes::zeroed(quantisation, dimension, items.len());
        let (mut levels, mut numbers, mut twins) = (Vec::new(), Vec::new(), Vec::new());
        let hasher = RandomState::new();
        let mut by_hash: HashMap<u64, u32> = HashMap::with_capacity(items.len());
        for &(level, number) in order {
            let node = numbers.len() as u32; // there are at most MOST_NODES
            codes.set(node, items[number as usize].1);
            match by_hash.entry(hasher.hash_one(codes.row(node))) {
                std::collections::hash_map::Entry::Occupied(first) if codes.same(*first.get(), node) => {
                    twins.push([*first.get(), number]);
                    continue;
                }
                entry => entry.or_insert(node),
            };
            numbers.push(number);
            levels.push(level);
        }
        codes.truncate(numbers.len());
        Self { codes, levels, numbers, twins }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clustered, in_a_file};
    use super::*;

    fn segment(vectors: &[Vec<f32>], quantisation: Quantisation) -> Frozen {
        let settings = HnswSettings { links: 6, build_width: 40, quantisation, ..HnswSettings::default() };
        let items = vectors.iter().enumerate().map(|(i, vector)| (10 + 2 * i as u32, vector.as_slice())).collect();
        Frozen::build(vectors[0].len(), items, &settings, 2, &AtomicBool::new(false), &|_, _| ()).unwrap()
    }

    fn with_twins() -> Vec<Vec<f32>> {
        let mut vectors = clustered(900, 24, 5);
        for i in 0..50 {
            vectors[700 + i] = vectors[3 * i].clone();
        }
        vectors
    }

    #[test]
    fn a_segment_of_its_own_parts_finds_the_same() {
        let vectors = with_twins();
        let pool = Pool::default();
        for quantisation in [Quantisation::Off, Quantisation::F16, Quantisation::Int8] {
            let segment = segment(&vectors, quantisation);
            assert_eq!((segment.len(), segment.twins.len()), (900, 50));
            let again = Frozen::from_parts(24, quantisation, &segment.parts(), in_a_file(&vectors)).unwrap();
            for vector in &vectors[..40] {
                let found = segment.search(vector, 7, 20, &pool).unwrap();
                assert_eq!(found, again.search(vector, 7, 20, &pool).unwrap());
                assert!(found[0].score > 0.999);
            }
        }
    }

    #[test]
    fn one_thread_builds_the_same_graph_each_time() {
        let vectors = clustered(600, 24, 6);
        let settings = HnswSettings { links: 4, build_width: 20, ..HnswSettings::default() };
        let build = || {
            let items = vectors.iter().enumerate().map(|(i, vector)| (i as u32, vector.as_slice())).collect();
            Frozen::build(24, items, &settings, 1, &AtomicBool::new(false), &|_, _| ()).unwrap()
        };
        assert!(build().parts().layers == build().parts().layers);
    }

    #[test]
    fn damaged_parts_are_refused() {
        let vectors = with_twins();
        let segment = segment(&vectors, Quantisation::Int8);
        let given = in_a_file(&vectors);
        let refused = |parts: &FrozenParts<'_>| {
            assert!(Frozen::from_parts(24, Quantisation::Int8, parts, Arc::clone(&given)).is_err());
        };
        let parts = segment.parts();
        assert!(parts.layers.len() > 2, "there are upper layers to damage");
        for layer in 0..parts.layers.len() {
            let nodes = parts.layers[layer].len() as u32 / if layer == 0 { 12 } else { 6 };
            let mut bad = parts.layers[layer].to_vec();
            bad[nodes as usize] = nodes;
            let mut layers = parts.layers.clone();
            layers[layer] = &bad;
            refused(&FrozenParts { layers, ..parts.clone() });
            let mut layers = parts.layers.clone();
            layers[layer] = &layers[layer][1..];
            refused(&FrozenParts { layers, ..parts.clone() });
        }
        let mut layers = parts.layers.clone();
        layers[2] = layers[1];
        layers[1] = &layers[1][..6];
        refused(&FrozenParts { layers, ..parts.clone() });
        refused(&FrozenParts { layers: Vec::new(), ..parts.clone() });
        refused(&FrozenParts { links: 5, ..parts.clone() });
        refused(&FrozenParts { links: 0, ..parts.clone() });
        refused(&FrozenParts { twins: &parts.twins[1..], ..parts.clone() });
        refused(&FrozenParts { ids: &parts.ids[1..], ..parts.clone() });
        for (place, number) in [(0, 900), (1, parts.numbers[0])] {
            let mut numbers = parts.numbers.to_vec();
            numbers[place] = number;
            refused(&FrozenParts { numbers: &numbers, ..parts.clone() });
        }
        let mut twins = parts.twins.to_vec();
        twins[49][0] = 850;
        refused(&FrozenParts { twins: &twins, ..parts.clone() });
        refused(&FrozenParts { codes: &parts.codes[64..], ..parts.clone() });
        refused(&FrozenParts { scales: &parts.scales[1..], ..parts.clone() });
        let mut scales = parts.scales.to_vec();
        scales[3] = f32::NAN;
        refused(&FrozenParts { scales: &scales, ..parts.clone() });
        let few = in_a_file(&vectors[1..]);
        assert!(Frozen::from_parts(24, Quantisation::Int8, &parts, few).is_err());
        let mut ids = parts.ids.to_vec();
        ids.swap(0, 1);
        refused(&FrozenParts { ids: &ids, ..parts });
    }

    #[test]
    fn bad_input_is_refused() {
        let settings = HnswSettings::default();
        let unit = [1.0, 0.0];
        for items in [vec![], vec![(1, &unit[..]), (1, &unit[..])], vec![(1, &[2.0, 0.0][..])], vec![(1, &[1.0][..])]] {
            assert!(Frozen::build(2, items, &settings, 1, &AtomicBool::new(false), &|_, _| ()).is_err());
        }
        let one = Frozen::build(2, vec![(7, &unit[..])], &settings, 3, &AtomicBool::new(false), &|_, _| ()).unwrap();
        assert_eq!(one.search(&unit, 5, 1, &Pool::default()).unwrap(), [Neighbour { id: 7, score: 1.0 }]);
        assert!(one.search(&[1.0], 5, 1, &Pool::default()).is_err());
    }
}
