//! Exact vectors that lie in files, and who keeps them there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use roaring::RoaringBitmap;

use super::frozen::Frozen;
use crate::{Error, Result};

/// Rows of f32 in a file, as a segment's exact vectors are kept: in the order of the ids, each padded with zeros to
/// whole cache lines.
pub trait StoredRows: Send + Sync + std::fmt::Debug {
    /// All rows, from the start of a cache line on.
    fn bytes(&self) -> &[u8];

    /// Refuses a row that is not as it was written.
    ///
    /// # Errors
    /// Says which vector of which file is damaged.
    fn check(&self, number: u32) -> Result<()>;
}

/// Keeps segments where they outlive the process.
pub trait Keeper: Send + Sync {
    /// Keeps a segment that was just made, and lets go of those that it and the `dead` ids make needless: all of whose
    /// ids are in it or dead. Gives back the segment's exact rows from where they are kept now.
    ///
    /// # Errors
    /// It could not be kept; nothing was let go then.
    fn keep(&self, made: &Frozen, dead: &RoaringBitmap) -> Result<Arc<dyn StoredRows>>;

    /// Lets go of the segments all of whose ids are dead.
    ///
    /// # Errors
    /// They could not be let go.
    fn forget(&self, dead: &RoaringBitmap) -> Result<()>;
}

/// Stored rows, and which of them were looked at: each is checked before it is first used.
#[derive(Debug)]
pub(super) struct CheckedRows {
    rows: Arc<dyn StoredRows>,
    /// A bit for each row that is known to be whole.
    whole: Vec<AtomicU64>,
}

impl CheckedRows {
    /// The first `n` rows, each `stride` bytes long.
    ///
    /// # Errors
    /// There are fewer, or they do not start at a cache line.
    pub(super) fn new(rows: Arc<dyn StoredRows>, n: usize, stride: usize) -> Result<Self> {
        let bytes = rows.bytes();
        if bytes.len() < n * stride || !bytes.as_ptr().addr().is_multiple_of(super::distance::LINE) {
            let expected = format!("{n} rows of {stride} bytes from the start of a cache line");
            return Err(Error::invalid("stored vectors", expected, format!("{} bytes", bytes.len())));
        }
        Ok(Self { rows, whole: (0..n.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.rows.bytes()
    }

    /// Refuses a row that is damaged; looks at each whole one once.
    #[inline]
    pub(super) fn check(&self, number: u32) -> Result<()> {
        let (word, bit) = (&self.whole[number as usize / 64], 1 << (number % 64));
        if word.load(Relaxed) & bit == 0 {
            self.rows.check(number)?;
            word.fetch_or(bit, Relaxed);
        }
        Ok(())
    }
}
