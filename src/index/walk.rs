//! The search loop: down through the layers, then best first.

use super::codes::Codes;
use super::flat::Links;
use super::scratch::{Ranked, Scored, Scratch};

/// A graph with the rows of its nodes.
///
/// # Invariant
/// Every node that `links` names is below `codes.len()`, and in the layer it is named in.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a, L> {
    links: &'a L,
    codes: &'a Codes,
}

impl<'a, L: Links> Walk<'a, L> {
    /// # Safety
    /// The invariant holds, also while others change the links.
    pub(super) unsafe fn new(links: &'a L, codes: &'a Codes) -> Self {
        Self { links, codes }
    }

    /// The score of one node.
    pub(super) fn score(&self, scratch: &Scratch, node: u32) -> Scored {
        let mut score = [0.0];
        assert!((node as usize) < self.codes.len());
        // SAFETY: just checked; the scratch's query is prepared by whoever starts a walk.
        unsafe { self.codes.score(&scratch.query, &[node], &mut score) };
        Scored { score: score[0], node }
    }

    /// Goes to the nearest neighbour, as long as it is nearer, from the highest layer down to above `floor`.
    ///
    /// # Safety
    /// `from` is in the highest layer; `scratch.query` was prepared by the codes.
    pub(super) unsafe fn descend(&self, from: Scored, floor: usize, scratch: &mut Scratch) -> Scored {
        let Scratch { query, ids, scores, .. } = scratch;
        let mut best = from;
        for layer in (floor + 1..=self.links.top()).rev() {
            loop {
                let here = best.node;
                ids.clear();
                // SAFETY: `here` is in the layer above, where it was named, and so in this one.
                unsafe {
                    self.links.each(layer, here, |node| {
                        if node != here {
                            self.codes.prefetch(node);
                            ids.push(node);
                        }
                    });
                    scores.resize(ids.len(), 0.0);
                    self.codes.score(query, ids, scores);
                }
                for (&node, &score) in ids.iter().zip(&*scores) {
                    if score > best.score {
                        best = Scored { score, node };
                    }
                }
                if best.node == here {
                    break;
                }
            }
        }
        best
    }

    /// Best first through one layer from `from`; `scratch.beam` holds the `width` best afterwards.
    ///
    /// # Safety
    /// `from` is in `layer`; `scratch.query` was prepared by the codes.
    pub(super) unsafe fn explore(
        &self,
        from: impl Iterator<Item = Scored>,
        layer: usize,
        width: usize,
        scratch: &mut Scratch,
    ) {
        let Scratch { query, visited, beam, ids, scores, .. } = scratch;
        visited.reset(self.codes.len());
        beam.reset(width);
        ids.clear();
        for Scored { score, node } in from {
            // SAFETY: the node has a row, and so a mark.
            if unsafe { visited.insert(node) } && score > beam.floor() {
                beam.insert(score, node);
            }
        }
        while let Some(here) = beam.next() {
            if let Some(next) = beam.peek() {
                self.links.prefetch(next);
            }
            // SAFETY: nodes of the beam are in this layer, and their neighbours have rows.
            unsafe {
                self.links.each(layer, here.node, |node| {
                    if visited.insert(node) {
                        self.codes.prefetch(node);
                        ids.push(node);
                    }
                });
                scores.resize(ids.len(), 0.0);
                self.codes.score(query, ids, scores);
            }
            for (&node, &score) in ids.iter().zip(&*scores) {
                if score > beam.floor() {
                    beam.insert(score, node);
                }
            }
            ids.clear();
        }
    }

    /// Best first through the lowest layer, through all nodes, but only those that pass are kept. Gives up once it has
    /// scored `most` nodes, and returns whether it has not; `scratch.beam` holds the `width` best afterwards.
    ///
    /// # Safety
    /// `from` is a node; `scratch.query` was prepared by the codes.
    pub(super) unsafe fn explore_filtered(
        &self,
        from: Scored,
        width: usize,
        most: usize,
        passes: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
    ) -> bool {
        let Scratch { query, visited, beam, ids, scores, frontier, .. } = scratch;
        visited.reset(self.codes.len());
        beam.reset(width);
        frontier.clear();
        // SAFETY: the node has a row, and so a mark.
        unsafe { visited.insert(from.node) };
        frontier.push(Ranked(from));
        if passes(from.node) {
            beam.insert(from.score, from.node);
        }
        let mut scored = 1;
        while let Some(Ranked(here)) = frontier.pop() {
            if here.score < beam.floor() {
                break;
            }
            if scored > most {
                return false;
            }
            if let Some(next) = frontier.peek() {
                self.links.prefetch(next.0.node);
            }
            ids.clear();
            // SAFETY: nodes of the frontier are in the lowest layer, as all are, and their neighbours have rows.
            unsafe {
                self.links.each(0, here.node, |node| {
                    if visited.insert(node) {
                        self.codes.prefetch(node);
                        ids.push(node);
                    }
                });
                scores.resize(ids.len(), 0.0);
                self.codes.score(query, ids, scores);
            }
            scored += ids.len();
            for (&node, &score) in ids.iter().zip(&*scores) {
                if score > beam.floor() {
                    frontier.push(Ranked(Scored { score, node }));
                    if passes(node) {
                        beam.insert(score, node);
                    }
                }
            }
        }
        true
    }
}
