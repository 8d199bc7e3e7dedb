//! The file that `benches/peers/vectors.py` writes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::{K, Result};

/// Vectors, queries, and which vectors are each query's nearest.
///
/// In the file: three `u32` (components, vectors, queries), the vectors and the queries in `f32`, and for each query
/// the numbers of its [`K`] nearest vectors in `u32`; all in this machine's byte order.
pub struct Vectors {
    pub dimension: usize,
    /// `[vectors × dimension]`.
    pub all: Vec<f32>,
    /// `[queries × dimension]`.
    pub queries: Vec<f32>,
    /// `[queries × K]`.
    pub truth: Vec<u32>,
}

impl Vectors {
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut sizes = [0u32; 3];
        file.read_exact(bytemuck::cast_slice_mut(&mut sizes))?;
        let [dimension, all, queries] = sizes.map(|size| size as usize);
        let mut floats = |n: usize| -> Result<Vec<f32>> {
            let mut floats = vec![0.0; n * dimension];
            file.read_exact(bytemuck::cast_slice_mut(&mut floats))?;
            Ok(floats)
        };
        let (all, queries_read) = (floats(all)?, floats(queries)?);
        let mut truth = vec![0; queries * K];
        file.read_exact(bytemuck::cast_slice_mut(&mut truth))?;
        Ok(Self { dimension, all, queries: queries_read, truth })
    }
}
