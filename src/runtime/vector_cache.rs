//! Vectors of texts that were asked for lately.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What an entry takes beside its ids and numbers, roughly: two allocations and its place in the table.
const OVERHEAD: usize = 96;

type Vectors = Cache<Box<[u32]>, Arc<[f32]>, Bytes>;

/// Ids of a sentence to its vector, bounded in bytes. The ids are what the model reads: two texts that the tokenizer cuts
/// into the same ones, after its own folding of widths and spaces, share an entry, and no others do.
pub(super) struct VectorCache {
    /// None when it is off.
    cache: Option<Vectors>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How a cache is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Texts whose vector was there.
    pub hits: u64,
    /// Texts that were encoded.
    pub misses: u64,
    /// Bytes that the entries take.
    pub bytes: u64,
    /// Bytes that they may take; 0 when there is no cache.
    pub capacity: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Box<[u32]>, Arc<[f32]>> for Bytes {
    fn weight(&self, ids: &Box<[u32]>, vector: &Arc<[f32]>) -> u64 {
        (size_of_val(&**ids) + size_of_val(&**vector) + OVERHEAD) as u64
    }
}

impl VectorCache {
    /// A cache of at most `bytes`, for vectors `dimension` wide; 0 is none.
    pub fn new(bytes: usize, dimension: usize) -> Self {
        let entries = bytes / (dimension * size_of::<f32>() + OVERHEAD);
        let cache = (bytes > 0).then(|| Cache::with_weighter(entries.max(1), bytes as u64, Bytes));
        Self { cache, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The vector of these ids, if it is there. Counts.
    pub fn get(&self, ids: &[u32]) -> Option<Vec<f32>> {
        let found = self.cache.as_ref()?.get(ids);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.map(|vector| vector.to_vec())
    }

    pub fn put(&self, ids: &[u32], vector: &[f32]) {
        if let Some(cache) = &self.cache {
            cache.insert(ids.into(), vector.into());
        }
    }

    pub fn usage(&self) -> CacheUse {
        let (bytes, capacity) = self.cache.as_ref().map_or((0, 0), |cache| (cache.weight(), cache.capacity()));
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheUse { hits: read(&self.hits), misses: read(&self.misses), bytes, capacity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_and_stays_within_its_bytes() {
        let cache = VectorCache::new(64 << 10, 16);
        assert_eq!(cache.get(&[1, 2]), None);
        cache.put(&[1, 2], &[0.5; 16]);
        assert_eq!(cache.get(&[1, 2]).unwrap(), [0.5; 16]);
        assert_eq!(cache.get(&[1]), None);
        let usage = cache.usage();
        assert_eq!((usage.hits, usage.misses, usage.bytes), (1, 2, 8 + 64 + OVERHEAD as u64));
        for i in 0..10_000 {
            cache.put(&[i, i], &[0.0; 16]);
        }
        let usage = cache.usage();
        assert!(usage.bytes <= usage.capacity && usage.bytes > usage.capacity / 2, "{usage:?}");
    }

    #[test]
    fn none_of_it_holds_nothing() {
        let cache = VectorCache::new(0, 16);
        cache.put(&[1], &[0.5; 16]);
        assert_eq!((cache.get(&[1]), cache.usage()), (None, CacheUse::default()));
    }
}
