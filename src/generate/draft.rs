//! The samples of one request on their way: a tree of what they have written so far.

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::wording::stutters;
use super::{READINGS, Sampler, Sampling};
use crate::runtime::{Cache, Rows, Slot};

/// Samples that are drawn for one source. Those that have written the same so far are one branch of a tree: the same
/// tokens give the same logits, so a branch is computed once, and each of its samples draws from them by a random
/// stream of its own. What a sample becomes depends on its stream alone, not on what else is computed, or when.
pub struct Draft {
    source: Vec<u32>,
    /// What is read of the source: all of it, or some that hide other pieces of it.
    readings: Vec<Reading>,
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

/// A source as some samples read it.
struct Reading {
    ids: Vec<u32>,
    /// Where it lies in the cache; empty until it is read.
    slots: Vec<Slot>,
}

/// Samples that have read and written the same.
struct Branch {
    reading: usize,
    target: Vec<u32>,
    /// Where `target` lies in the cache, each slot held by this branch. The last token's is filled by the next step.
    slots: Vec<Slot>,
    samples: Vec<usize>,
}

impl Draft {
    /// Samples for `source`, `[CLS] pieces… [SEP]`, by `sampling`; `banned` tokens are never drawn, `end` ends a sample, and
    /// `mask` stands for a piece that is hidden.
    pub fn new(source: Vec<u32>, sampling: &Sampling, banned: &[bool], end: u32, mask: Option<u32>) -> Self {
        let readings: Vec<Reading> = match mask {
            Some(mask) if sampling.mask_source > 0.0 => {
                let readings =
                    (0..READINGS.min(sampling.samples)).map(|reading| masked(&source, sampling, mask, reading));
                readings.map(|ids| Reading { ids, slots: Vec::new() }).collect()
            }
            _ => vec![Reading { ids: source.clone(), slots: Vec::new() }],
        };
        let root = |reading| {
            let samples = (reading..sampling.samples).step_by(readings.len()).collect();
            Branch { reading, target: Vec::new(), slots: Vec::new(), samples }
        };
        let mut sampler = Sampler::new(sampling, banned.to_vec());
        sampler.penalise(source.get(1..source.len().saturating_sub(1)).unwrap_or_default());
        Self {
            waiting: (0..readings.len()).map(root).collect(),
            source,
            readings,
            end,
            max_tokens: sampling.max_tokens,
            sampler,
            random: (0..sampling.samples).map(|sample| stream(sampling.seed, sample as u64)).collect(),
            targets: vec![Vec::new(); sampling.samples],
            asked: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Rows that `branch` needs in a step.
    fn rows_of(&self, branch: &Branch) -> usize {
        if branch.target.is_empty() { self.readings[branch.reading].ids.len() } else { 1 }
    }

    /// Rows that it could use in a step.
    pub fn wanted(&self) -> usize {
        self.waiting.iter().map(|branch| self.rows_of(branch)).sum()
    }

    /// Adds up to `share` rows to a step that has room for `left`; a source goes in whole, if it is left room for.
    /// Whoever is first in a step gets one branch in at least, so that everyone gets on.
    pub fn offer(&mut self, cache: &mut Cache, rows: &mut Rows, share: usize, left: usize) {
        let before = rows.len();
        while let Some(branch) = self.waiting.last() {
            let room = if branch.target.is_empty() { left } else { share };
            if !rows.is_empty() && rows.len() - before + self.rows_of(branch) > room {
                return;
            }
            let Reading { ids, slots } = &mut self.readings[branch.reading];
            match branch.target.last() {
                Some(&last) => rows.push_target(last, ids.len() + branch.target.len() - 1, slots, &branch.slots),
                None => {
                    *slots = ids.iter().map(|_| cache.take()).collect();
                    rows.push_source(ids, slots);
                }
            }
            self.asked.extend(self.waiting.pop());
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
        let Branch { reading, target, slots, .. } = branch;
        if target.len() + 1 < self.max_tokens {
            cache.hold(&slots, children.len());
        }
        for (id, samples) in children {
            let target = [&target[..], &[id]].concat();
            if target.len() < self.max_tokens {
                self.waiting.push(Branch { reading, target, slots: [&slots[..], &[cache.take()]].concat(), samples });
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
        self.readings.iter().for_each(|reading| cache.release(&reading.slots));
        self.waiting.iter().chain(&self.asked).for_each(|branch| cache.release(&branch.slots));
        self.targets
    }
}

/// The random stream number `stream` of `seed`.
fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}

/// `source` with a share of its pieces hidden, but never all of them; others for each `reading`.
fn masked(source: &[u32], sampling: &Sampling, mask: u32, reading: usize) -> Vec<u32> {
    let mut ids = source.to_vec();
    let pieces = source.len().saturating_sub(2);
    let hidden = (pieces as f32 * sampling.mask_source).ceil() as usize;
    // Streams from the far end, so that those of the samples stay what they are.
    let mut random = stream(sampling.seed, u64::MAX - reading as u64);
    for piece in index::sample(&mut random, pieces, hidden.min(pieces.saturating_sub(1))) {
        ids[1 + piece] = mask;
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_hide_a_share_of_the_pieces_each_in_its_own_way() {
        let source = [2, 10, 11, 12, 13, 14, 15, 16, 17, 3];
        let sampling = Sampling { mask_source: 0.3, ..Sampling::default() };
        let readings: Vec<Vec<u32>> = (0..READINGS).map(|reading| masked(&source, &sampling, 4, reading)).collect();
        for ids in &readings {
            assert_eq!((ids[0], ids[9]), (2, 3));
            let hidden = ids.iter().filter(|&&id| id == 4).count();
            assert_eq!(hidden, 3);
            assert!(ids.iter().zip(&source).all(|(id, piece)| id == piece || *id == 4));
        }
        assert_ne!(readings[0], readings[1]);
        assert_eq!(readings[1], masked(&source, &sampling, 4, 1));
        assert_eq!(masked(&[2, 10, 3], &sampling, 4, 0), [2, 10, 3], "one piece at least is seen");
        assert_eq!(masked(&[2, 3], &sampling, 4, 0), [2, 3]);
    }
}
