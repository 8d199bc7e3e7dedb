//! Nearest neighbours by inner product of unit vectors: exact and by graphs behind one trait.
//!
//! An index knows ids and vectors, nothing else: what an id stands for, and which ids a filter lets through, is
//! its caller's business. [`Exact`] compares with every vector. [`Segments`] has graphs over most of them, and chooses
//! for each search: a graph where it pays, the comparison where few vectors are allowed.
//!
//! | file | what is there |
//! |---|---|
//! | `segments`, `snapshot` | the index that grows: what waits, what has a graph, what is merged when |
//! | `frozen` | one segment: [`Frozen`] |
//! | `run`, `stored` | exact vectors in the order of their ids, in memory or in a file |
//! | `codes` | the rows that walks compare: f32, f16 or bytes |
//! | `flat`, `build`, `walk` | the graph, how it is built, how it is searched |
//! | `scratch`, `aligned` | what walks write on; memory in whole cache lines |
//! | `distance` | kernels |
//! | `exact`, `rows`, `top` | search by comparing with all |
//! | `plane` | vectors as points in a plane, to look at: [`Plane`] |

mod aligned;
mod build;
mod codes;
mod distance;
mod exact;
mod flat;
mod frozen;
mod plane;
mod rows;
mod run;
mod scratch;
mod segments;
mod settings;
mod snapshot;
mod stored;
mod top;
mod walk;

use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use roaring::RoaringBitmap;

pub use codes::Quantisation;
pub use distance::{dot, instructions};
pub use exact::Exact;
pub use frozen::{Frozen, FrozenParts};
pub use plane::Plane;
pub use scratch::Pool;
pub use segments::Segments;
pub use settings::HnswSettings;
pub use stored::{Keeper, StoredRows};

use crate::{Error, Result};

/// A vector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    pub id: u32,
    /// Inner product with the query: the cosine, as both are unit vectors.
    pub score: f32,
}

/// Told how much of a long work is done, and how much there is.
pub type Progress<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct VectorQuery<'a> {
    /// A unit vector of the index's width.
    pub vector: &'a [f32],
    /// How many neighbours at most.
    pub k: usize,
    /// Only these ids, where given.
    pub allowed: Option<&'a RoaringBitmap>,
    /// Compare with every allowed vector.
    pub exact: bool,
}

/// Unit vectors under ids, searched by inner product.
///
/// A search sees each insert and each removal whole, and never gives fewer than `k` neighbours while `k` live and
/// allowed vectors are there.
pub trait VectorIndex: Send + Sync {
    /// Width of the vectors.
    fn dimension(&self) -> usize;

    /// Number of live vectors.
    fn len(&self) -> usize;

    /// Whether there is no live vector.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds vectors under ids that are not in use, and never were in the life of this value.
    ///
    /// # Errors
    /// A vector is not a unit vector of the index's width, or an id was used before. Nothing is added then.
    fn insert(&self, items: &[(u32, &[f32])]) -> Result<()>;

    /// Takes vectors out of all later searches; ids that are not there are passed over.
    fn remove(&self, ids: &[u32]);

    /// The nearest allowed vectors, best first; equal scores in the order of their ids.
    ///
    /// # Errors
    /// The query is not a unit vector of the index's width.
    fn search(&self, query: VectorQuery<'_>) -> Result<Vec<Neighbour>>;

    /// Many searches at once, on all cores: as many answers, in their order.
    ///
    /// # Errors
    /// One of the queries is not a unit vector of the index's width.
    fn search_batch(&self, queries: &[VectorQuery<'_>]) -> Result<Vec<Vec<Neighbour>>> {
        queries.par_iter().map(|&query| self.search(query)).collect()
    }

    /// Work that makes later searches faster and may take long. Searches, inserts and removals go on meanwhile.
    /// Returns early once `stop` is set.
    fn maintain(&self, _pace: Pace, _stop: &AtomicBool, _progress: &Progress<'_>) {}

    /// How many vectors are within the structure that [`VectorIndex::maintain`] keeps.
    fn maintained(&self) -> usize {
        self.len()
    }
}

/// Whether more is coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Writes come one after the other: what is made now will soon be made again, so as little as searches can bear.
    Busy,
    /// Nobody writes: as much as makes searches faster.
    Quiet,
}

/// How far from 1 the squared length of a unit vector may be: f32 rounding over some thousand components, with room.
const UNIT_TOLERANCE: f32 = 1e-3;

/// Refuses what is not a unit vector of width `dimension`.
///
/// # Errors
/// Another width, a component that is not finite, or another length than 1.
pub fn check_unit(vector: &[f32], dimension: usize) -> Result<()> {
    if vector.len() != dimension {
        return Err(Error::invalid(
            "vector",
            format!("{dimension} components"),
            format!("{} components", vector.len()),
        ));
    }
    let square = dot(vector, vector); // NaN where a component is, infinite where one is
    if (square - 1.0).abs() <= UNIT_TOLERANCE {
        return Ok(());
    }
    Err(Error::invalid("vector", "finite components and length 1", format!("squared length {square}")))
}

#[cfg(test)]
mod tests;
