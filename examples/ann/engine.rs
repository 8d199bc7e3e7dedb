//! What is measured: a segment of simbert, or a graph of hnsw_rs.

use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;
use memmap2::Mmap;
use rayon::prelude::*;
use simbert::index::{Frozen, HnswSettings, Pool, Quantisation, StoredRows, dot};

use crate::{K, Result};

/// Layers of a graph of hnsw_rs, the most that it takes.
const LAYERS: usize = 16;

#[derive(Clone, Copy)]
pub enum Kind {
    Simbert(Quantisation),
    HnswRs,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "off" => Ok(Self::Simbert(Quantisation::Off)),
            "f16" => Ok(Self::Simbert(Quantisation::F16)),
            "int8" => Ok(Self::Simbert(Quantisation::Int8)),
            "hnsw_rs" => Ok(Self::HnswRs),
            other => Err(format!("expected off, f16, int8 or hnsw_rs, received {other}")),
        }
    }
}

/// An index that is searched.
pub trait Engine {
    /// The numbers of about the [`K`] nearest vectors.
    fn search(&self, query: &[f32], width: usize) -> Result<Vec<u32>>;

    /// Bytes that searches need in memory, where that is known.
    fn bytes(&self) -> Option<usize>;
}

/// An index over vectors, by their numbers.
pub fn build(kind: Kind, dimension: usize, all: &[f32], threads: usize) -> Result<Box<dyn Engine>> {
    let items: Vec<(u32, &[f32])> = (0..).zip(all.chunks_exact(dimension)).collect();
    Ok(match kind {
        Kind::Simbert(quantisation) => Box::new(Segment::build(quantisation, dimension, items, threads)?),
        Kind::HnswRs => Box::new(Graph::build(&items, threads)?),
    })
}

struct Segment {
    frozen: Frozen,
    pool: Pool,
}

impl Segment {
    fn build(quantisation: Quantisation, dimension: usize, items: Vec<(u32, &[f32])>, threads: usize) -> Result<Self> {
        let settings = HnswSettings { quantisation, ..HnswSettings::default() };
        let mut frozen = Frozen::build(dimension, items, &settings, threads, &AtomicBool::new(false), &|_, _| ())?;
        let rows = Rows::written(&frozen, dimension)?;
        frozen.rest_on(Arc::new(rows))?;
        Ok(Self { frozen, pool: Pool::default() })
    }
}

/// Exact vectors in a mapped file without a name, as a bank keeps them.
#[derive(Debug)]
struct Rows(Mmap);

impl Rows {
    fn written(frozen: &Frozen, dimension: usize) -> Result<Self> {
        let file = tempfile::tempfile()?;
        let mut writer = std::io::BufWriter::new(&file);
        let padding = vec![0; (4 * dimension).next_multiple_of(64) - 4 * dimension];
        for vector in frozen.vectors() {
            writer.write_all(bytemuck::cast_slice(vector))?;
            writer.write_all(&padding)?;
        }
        writer.flush()?;
        drop(writer);
        // SAFETY: the file has no name, so nobody else can change it.
        Ok(Self(unsafe { Mmap::map(&file) }?))
    }
}

impl StoredRows for Rows {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
    fn check(&self, _: u32) -> simbert::Result<()> {
        Ok(())
    }
}

impl Engine for Segment {
    fn search(&self, query: &[f32], width: usize) -> Result<Vec<u32>> {
        Ok(self.frozen.search(query, K, width, &self.pool)?.iter().map(|found| found.id).collect())
    }

    fn bytes(&self) -> Option<usize> {
        Some(self.frozen.bytes())
    }
}

/// A graph of hnsw_rs.
pub struct Graph(Hnsw<'static, f32, InnerProduct>);

impl Graph {
    pub fn new(expected: usize) -> Self {
        let settings = HnswSettings::default();
        Self(Hnsw::new(settings.links, expected, LAYERS, settings.build_width, InnerProduct))
    }

    fn build(items: &[(u32, &[f32])], threads: usize) -> Result<Self> {
        let graph = Self::new(items.len());
        // Points that come at once into an empty graph may never be linked, so the first goes in alone.
        let (first, rest) = items.split_at(items.len().min(1));
        first.iter().for_each(|&item| graph.insert(item));
        if threads < 2 {
            rest.iter().for_each(|&item| graph.insert(item));
        } else {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            pool.install(|| rest.par_iter().with_max_len(1).for_each(|&item| graph.insert(item)));
        }
        Ok(graph)
    }

    pub fn insert(&self, (number, vector): (u32, &[f32])) {
        self.0.insert((vector, number as usize));
    }
}

impl Engine for Graph {
    fn search(&self, query: &[f32], width: usize) -> Result<Vec<u32>> {
        Ok(self.0.search(query, K, width).iter().map(|found| found.get_origin_id() as u32).collect())
    }

    fn bytes(&self) -> Option<usize> {
        None
    }
}

/// 1 − inner product, never below 0: hnsw_rs panics on a negative distance, which rounding gives for equal vectors.
#[derive(Clone, Copy)]
struct InnerProduct;

impl Distance<f32> for InnerProduct {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}
