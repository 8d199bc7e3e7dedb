//! Vectors in memory, one row for each id.

use crate::Error;

/// Rows of a block; a block of 312 wide vectors is 1.3 MB.
const BLOCK: usize = 1024;

/// Vectors under dense ids, in blocks that never move, so that growing copies nothing.
#[derive(Debug)]
pub(super) struct Rows {
    dimension: usize,
    /// Block b holds ids from b × BLOCK: `[BLOCK × dimension]`, or nothing while none of them is used.
    blocks: Vec<Option<Box<[f32]>>>,
}

impl Rows {
    pub(super) fn new(dimension: usize) -> Self {
        Self { dimension, blocks: Vec::new() }
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Writes the row of `id`; `vector` has the width of the rows.
    pub(super) fn set(&mut self, id: u32, vector: &[f32]) {
        let (block, start) = self.place(id);
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, None);
        }
        let rows = self.blocks[block].get_or_insert_with(|| vec![0.0; BLOCK * self.dimension].into_boxed_slice());
        rows[start..start + self.dimension].copy_from_slice(vector);
    }

    /// The row of `id`, where its block is there.
    pub(super) fn get(&self, id: u32) -> Option<&[f32]> {
        let (block, start) = self.place(id);
        self.blocks.get(block)?.as_ref().map(|rows| &rows[start..start + self.dimension])
    }

    /// The row of an id that an index holds.
    pub(super) fn row(&self, id: u32) -> crate::Result<&[f32]> {
        self.get(id).ok_or_else(|| Error::Internal(format!("the index holds id {id} without a vector")))
    }

    fn place(&self, id: u32) -> (usize, usize) {
        let id = id as usize;
        (id / BLOCK, id % BLOCK * self.dimension)
    }
}
