//! What a walk writes on, used again and again.

use parking_lot::Mutex;

use super::codes::Prepared;

/// A node and how near it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    pub(super) score: f32,
    pub(super) node: u32,
}

/// Marks a node of a [`Beam`] whose neighbours were looked at.
const EXPANDED: u32 = 1 << 31;

/// Nodes that a graph may have, so that one bit is left.
pub(super) const MOST_NODES: usize = (EXPANDED - 1) as usize;

/// The best nodes that a walk has seen, best first, and which of them it has not been to yet.
///
/// A sorted array: up to some hundred entries, moving the tail is quicker than the branches of two heaps.
#[derive(Debug, Default)]
pub(super) struct Beam {
    entries: Vec<Scored>,
    width: usize,
    /// All entries before it were expanded.
    cursor: usize,
}

impl Beam {
    pub(super) fn reset(&mut self, width: usize) {
        self.entries.clear();
        self.entries.reserve(width);
        (self.width, self.cursor) = (width, 0);
    }

    /// What a node must exceed to be taken in.
    #[inline(always)]
    pub(super) fn floor(&self) -> f32 {
        match self.entries.last() {
            Some(last) if self.entries.len() == self.width => last.score,
            _ => f32::NEG_INFINITY,
        }
    }

    /// Takes in a node that exceeds the floor, for the worst one where it is full.
    #[inline(always)]
    pub(super) fn insert(&mut self, score: f32, node: u32) {
        let at = self.entries.partition_point(|entry| entry.score >= score);
        if self.entries.len() == self.width {
            self.entries.pop();
        }
        self.entries.insert(at, Scored { score, node });
        self.cursor = self.cursor.min(at);
    }

    /// The best node that was not expanded yet, now marked as such.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Scored> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if entry.node & EXPANDED == 0 {
                let next = *entry;
                entry.node |= EXPANDED;
                return Some(next);
            }
        }
        None
    }

    /// The node that [`Beam::next`] would give now.
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u32> {
        self.entries.get(self.cursor).map(|entry| entry.node & !EXPANDED)
    }

    /// Best first.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Scored> + Clone {
        self.entries.iter().map(|entry| Scored { node: entry.node & !EXPANDED, ..*entry })
    }
}

/// Which nodes a walk has seen: a mark for each, valid for one walk only, so that nothing has to be cleared between.
#[derive(Debug, Default)]
pub(super) struct Visited {
    marks: Vec<u8>,
    walk: u8,
}

impl Visited {
    /// Forgets all, and makes room for `n` nodes.
    pub(super) fn reset(&mut self, n: usize) {
        self.walk = self.walk.wrapping_add(1);
        if self.marks.len() < n || self.walk == 0 {
            self.marks.clear();
            self.marks.resize(n, 0);
            self.walk = 1;
        }
    }

    /// Marks a node; whether it was new.
    ///
    /// # Safety
    /// `node` is below the `n` of the last reset.
    #[inline(always)]
    pub(super) unsafe fn insert(&mut self, node: u32) -> bool {
        // SAFETY: the caller's node has a mark.
        let mark = unsafe { self.marks.get_unchecked_mut(node as usize) };
        let new = *mark != self.walk;
        *mark = self.walk;
        new
    }
}

/// All that one walk writes on.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) query: Prepared,
    /// The query for exact rows.
    pub(super) exact: Prepared,
    pub(super) visited: Visited,
    pub(super) beam: Beam,
    /// Neighbours to score, and their scores.
    pub(super) ids: Vec<u32>,
    pub(super) scores: Vec<f32>,
    /// Vectors of a run.
    pub(super) numbers: Vec<u32>,
    /// A vector that should have been scored and is damaged; whoever searches takes it.
    pub(super) damage: Option<crate::Error>,
    /// For walks under a filter: nodes to expand, the best of them on top.
    pub(super) frontier: std::collections::BinaryHeap<Ranked>,
}

/// Ordered by score, then node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked(pub(super) Scored);

impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.score.total_cmp(&other.0.score).then(other.0.node.cmp(&self.0.node))
    }
}

/// Scratches for as many walks at once as there are slots. Nobody waits: a walk that finds all in use makes its own.
#[derive(Debug)]
pub struct Pool {
    slots: Box<[Mutex<Scratch>]>,
}

impl Default for Pool {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { slots: (0..2 * threads).map(|_| Mutex::default()).collect() }
    }
}

impl Pool {
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        match self.slots.iter().find_map(Mutex::try_lock) {
            Some(mut scratch) => work(&mut scratch),
            None => work(&mut Scratch::default()),
        }
    }
}
