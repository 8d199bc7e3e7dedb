//! The samples of one request on their way: a tree of what they have written so far.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::wording::stutters;
use super::{Sampler, Sampling};
use crate::runtime::{Cache, Rows, Slot};

/// Samples that are drawn for one source. Those that have written the same so far are one branch of a tree: the same
/// tokens give the same logits, so a branch is computed once, and each of its samples draws from them by a random
/// stream of its own. What a sample becomes depends on its stream alone, not on what else is computed, or when.
pub struct Draft {
    source: Vec<u32>,
    /// Where the source lies in the cache; empty until it is read.
    source_slots: Vec<Slot>,
    end: u32,
    max_tokens: usize,
    sampler: Sampler,
    random: Vec<ChaCha8Rng>,
    /// What the samples that have ended wrote, by sample.
    targets: Vec<Vec<u32>>,
    /// Branches that go on, the last one first: so what is begun ends soon and gives its slots back.
    waiting: Vec<Branch>,
    /// Branches that the step at hand computes, in the order of its logits.
    asked: Vec<Branch>,
    refused: Vec<u32>,
}

/// Samples that have written the same.
struct Branch {
    target: Vec<u32>,
    /// Where `target` lies in the cache, each slot held by this branch. The last token's is filled by the next step.
    slots: Vec<Slot>,
    samples: Vec<usize>,
}

impl Draft {
    /// Samples for `source`, `[CLS] pieces… [SEP]`, by `sampling`; `banned` tokens are never drawn, and `end` ends one.
    pub fn new(source: Vec<u32>, sampling: &Sampling, banned: &[bool], end: u32) -> Self {
        let stream = |sample| {
            let mut random = ChaCha8Rng::seed_from_u64(sampling.seed);
            random.set_stream(sample as u64);
            random
        };
        let root = Branch { target: Vec::new(), slots: Vec::new(), samples: (0..sampling.samples).collect() };
        Self {
            source,
            source_slots: Vec::new(),
            end,
            max_tokens: sampling.max_tokens,
            sampler: Sampler::new(sampling, banned.to_vec()),
            random: (0..sampling.samples).map(stream).collect(),
            targets: vec![Vec::new(); sampling.samples],
            waiting: vec![root],
            asked: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Whether the source is still to be read.
    pub fn is_unread(&self) -> bool {
        self.source_slots.is_empty()
    }

    /// Rows that its next step wants.
    pub fn wanted(&self) -> usize {
        if self.is_unread() { self.source.len() } else { self.waiting.len() }
    }

    /// Adds up to `room` rows to a step; a source goes in whole or not at all.
    pub fn offer(&mut self, cache: &mut Cache, rows: &mut Rows, room: usize) {
        if self.is_unread() {
            if room >= self.source.len() {
                self.source_slots = self.source.iter().map(|_| cache.take()).collect();
                rows.push_source(&self.source, &self.source_slots);
                self.asked.append(&mut self.waiting);
            }
            return;
        }
        for branch in self.waiting.drain(self.waiting.len().saturating_sub(room)..).rev() {
            if let Some(&last) = branch.target.last() {
                let position = self.source.len() + branch.target.len() - 1;
                rows.push_target(last, position, &self.source_slots, &branch.slots);
            }
            self.asked.push(branch);
        }
    }

    /// How many rows of logits the step owes it.
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    /// Lets every sample draw that the step was for; `logits` are the rows that it asked for.
    pub fn draw<'l>(&mut self, cache: &mut Cache, logits: impl Iterator<Item = &'l [f32]>) {
        let asked = std::mem::take(&mut self.asked);
        for (branch, scores) in asked.into_iter().zip(logits) {
            stutters(&branch.target, &self.source, &mut self.refused);
            self.refused.retain(|&id| id != self.end);
            self.sampler.weigh(scores, &self.refused);
            let mut children: Vec<(u32, Vec<usize>)> = Vec::new();
            for &sample in &branch.samples {
                match self.sampler.draw(&mut self.random[sample]) {
                    Some(id) if id != self.end => match children.iter_mut().find(|(token, _)| *token == id) {
                        Some((_, samples)) => samples.push(sample),
                        None => children.push((id, vec![sample])),
                    },
                    _ => self.targets[sample].clone_from(&branch.target),
                }
            }
            self.grow(cache, branch, children);
        }
    }

    fn grow(&mut self, cache: &mut Cache, branch: Branch, children: Vec<(u32, Vec<usize>)>) {
        let Branch { target, slots, .. } = branch;
        if target.len() + 1 < self.max_tokens {
            cache.hold(&slots, children.len());
        }
        for (id, samples) in children {
            let target = [&target[..], &[id]].concat();
            if target.len() < self.max_tokens {
                self.waiting.push(Branch { target, slots: [&slots[..], &[cache.take()]].concat(), samples });
            } else {
                samples.iter().for_each(|&sample| self.targets[sample].clone_from(&target));
            }
        }
        cache.release(&slots);
    }

    /// Whether every sample has ended.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    /// Gives all slots back, and what the samples wrote: ids without the closing `end`, in the order of the samples.
    pub fn finish(self, cache: &mut Cache) -> Vec<Vec<u32>> {
        cache.release(&self.source_slots);
        self.waiting.iter().chain(&self.asked).for_each(|branch| cache.release(&branch.slots));
        self.targets
    }
}
