//! The best k of many.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::Neighbour;

/// Orders neighbours best first: higher scores, then lower ids. Scores are finite.
pub(super) fn best_first(a: &Neighbour, b: &Neighbour) -> Ordering {
    b.score.total_cmp(&a.score).then(a.id.cmp(&b.id))
}

#[derive(PartialEq)]
struct Ranked(Neighbour);

impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        best_first(&other.0, &self.0)
    }
}

/// Keeps the best `k` of what it is shown.
pub(super) struct Top {
    k: usize,
    /// The worst kept neighbour is on top.
    heap: BinaryHeap<Reverse<Ranked>>,
}

impl Top {
    pub(super) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    pub(super) fn push(&mut self, neighbour: Neighbour) {
        if self.heap.len() < self.k {
            self.heap.push(Reverse(Ranked(neighbour)));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && best_first(&neighbour, &worst.0.0).is_lt()
        {
            *worst = Reverse(Ranked(neighbour));
        }
    }

    pub(super) fn into_best_first(self) -> Vec<Neighbour> {
        let mut neighbours: Vec<_> = self.heap.into_iter().map(|Reverse(Ranked(neighbour))| neighbour).collect();
        neighbours.sort_unstable_by(best_first);
        neighbours
    }
}
