//! The shape of an index's graphs.

use super::codes::Quantisation;
use crate::{Error, Result};

/// The shape of an index's graphs, and how they are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HnswSettings {
    /// Links of a point in each layer, twice that in the lowest: 2 to 128.
    pub links: usize,
    /// Candidates kept while a point is linked: 1 to 4096.
    pub build_width: usize,
    /// Candidates kept while searching, 1 to 4096; never less than twice the `k` of a search.
    pub search_width: usize,
    /// What a walk costs for each candidate kept, in vectors compared one after the other; it tells when comparing with
    /// all allowed vectors is quicker. With vectors 384 wide, a walk of width 64 took as long as 400 to 1,100
    /// comparisons, and among 100,000 a filter that lets through some 9 % took the same time either way (`make bench`
    /// times both). 0 always walks.
    pub walk_cost: u64,
    /// Threads that link points; 0 means half of rayon's, so that searches keep the others.
    pub build_threads: usize,
    /// How walks see the vectors; what they find is scored by the exact ones.
    pub quantisation: Quantisation,
    /// So many vectors wait, and are compared one by one, before they get a graph.
    pub freeze_from: u64,
}

impl Default for HnswSettings {
    fn default() -> Self {
        Self {
            links: 16,
            build_width: 200,
            search_width: 64,
            walk_cost: 12,
            build_threads: 0,
            quantisation: Quantisation::default(),
            freeze_from: 2048,
        }
    }
}

impl HnswSettings {
    /// Refuses settings that would not work, or crawl.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("links", self.links, 2..=128),
            ("build_width", self.build_width, 1..=4096),
            ("search_width", self.search_width, 1..=4096),
        ];
        for (name, value, range) in ranges {
            if !range.contains(&value) {
                let expected = format!("{} to {}", range.start(), range.end());
                return Err(Error::invalid(format!("graph setting `{name}`"), expected, value));
            }
        }
        Ok(())
    }

    /// Threads that link points.
    pub(super) fn threads(&self) -> usize {
        match self.build_threads {
            0 => rayon::current_num_threads().div_ceil(2),
            threads => threads,
        }
    }
}
