//! What an index of segments holds at one time.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::frozen::Frozen;
use super::run::Run;

/// Runs up to this size are merged with like ones as they come, so that vectors that come one by one are not in as
/// many runs.
const LARGEST_MERGED: usize = 8192;

/// A run or segment, and how many of its vectors are live.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) whole: Arc<T>,
    pub(super) live: u64,
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { whole: Arc::clone(&self.whole), live: self.live }
    }
}

impl<T> Part<T> {
    pub(super) fn new(whole: T, live: u64) -> Self {
        Self { whole: Arc::new(whole), live }
    }
}

/// A run, or what has one.
pub(super) trait HasRun {
    fn run(&self) -> &Run;
}

impl HasRun for Run {
    fn run(&self) -> &Run {
        self
    }
}

impl HasRun for Frozen {
    fn run(&self) -> &Run {
        self.run()
    }
}

/// Every live vector is in one run or segment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// Without a graph. The first are sealed: they are being made into a segment.
    pub(super) runs: Vec<Part<Run>>,
    sealed: usize,
    pub(super) frozen: Vec<Part<Frozen>>,
    pub(super) live: Arc<RoaringBitmap>,
}

impl Snapshot {
    /// Which ids of a part a search may find: `None` for all.
    pub(super) fn inside<'a, T: HasRun>(
        &'a self,
        part: &Part<T>,
        allowed: Option<&'a RoaringBitmap>,
    ) -> Option<&'a RoaringBitmap> {
        let all_live = part.live == part.whole.run().len() as u64;
        allowed.or((!all_live).then_some(&*self.live))
    }

    /// Live vectors without a graph.
    pub(super) fn waiting(&self) -> u64 {
        self.runs.iter().map(|run| run.live).sum()
    }

    /// Adds a run whose ids are in `live`.
    pub(super) fn add(&mut self, run: Run, dimension: usize) {
        let live = run.len() as u64;
        self.runs.push(Part::new(run, live));
        while let [.., a, b] = &self.runs[self.sealed..] {
            let (a_len, b_len) = (a.whole.len(), b.whole.len());
            if 2 * b_len < a_len || a_len + b_len > LARGEST_MERGED || a.whole.in_a_file() {
                break;
            }
            let both = a.whole.items(dimension).chain(b.whole.items(dimension));
            let mut items: Vec<_> = both.filter(|(id, _)| self.live.contains(*id)).collect();
            items.sort_unstable_by_key(|&(id, _)| id);
            let ids: Vec<u32> = items.iter().map(|&(id, _)| id).collect();
            let live = ids.len() as u64;
            let run = Run::new(ids, dimension, items.iter().map(|&(_, vector)| vector));
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(Part::new(run, live));
        }
    }

    /// Takes ids out.
    pub(super) fn remove(&mut self, ids: &RoaringBitmap) {
        let gone = ids & &*self.live;
        if gone.is_empty() {
            return;
        }
        *Arc::make_mut(&mut self.live) -= &gone;
        fn count<T: HasRun>(part: &mut Part<T>, gone: &RoaringBitmap) {
            part.live -= part.whole.run().members().intersection_len(gone);
        }
        self.runs.iter_mut().for_each(|part| count(part, &gone));
        self.frozen.iter_mut().for_each(|part| count(part, &gone));
    }

    /// Seals all runs but those `left_out`; tells how many live vectors are sealed.
    pub(super) fn seal(&mut self, left_out: &[Arc<Run>]) -> u64 {
        let is_left_out = |part: &Part<Run>| left_out.iter().any(|run| Arc::ptr_eq(run, &part.whole));
        self.runs.sort_by_key(is_left_out);
        self.sealed = self.runs.partition_point(|part| !is_left_out(part));
        self.sealed().map(|part| part.live).sum()
    }

    pub(super) fn sealed(&self) -> impl Iterator<Item = &Part<Run>> {
        self.runs[..self.sealed].iter()
    }

    /// What is to be made into one segment next: one of which over a fifth is dead, or, where there are more than `most`,
    /// several of like size, none more than twice all smaller ones of them. Those `left_out` are not.
    pub(super) fn to_merge(&self, most: usize, left_out: &[Arc<Frozen>]) -> Vec<Arc<Frozen>> {
        let is_left_out = |part: &Part<Frozen>| left_out.iter().any(|frozen| Arc::ptr_eq(frozen, &part.whole));
        let mut by_size: Vec<_> = self.frozen.iter().filter(|part| !is_left_out(part)).collect();
        let dead = |part: &&&Part<Frozen>| 5 * part.live < 4 * part.whole.len() as u64;
        if let Some(part) = by_size.iter().find(dead) {
            return vec![Arc::clone(&part.whole)];
        }
        if by_size.len() <= most {
            return Vec::new();
        }
        by_size.sort_by_key(|part| part.live);
        while let Some((first, rest)) = by_size.split_first() {
            let mut sum = first.live;
            let alike = |part: &&&Part<Frozen>| {
                let fits = part.live <= 2 * sum;
                sum += part.live;
                fits
            };
            let like = rest.iter().take_while(alike).count();
            if like > 0 {
                return by_size[..=like].iter().map(|part| Arc::clone(&part.whole)).collect();
            }
            by_size.remove(0);
        }
        Vec::new()
    }

    /// Puts a segment in the place of the sealed runs. What died meanwhile is counted.
    pub(super) fn replace_sealed(&mut self, made: Option<Frozen>) {
        self.runs.drain(..self.sealed);
        self.sealed = 0;
        self.take(made);
    }

    /// Puts a segment in the place of those that it was made of. What died meanwhile is counted.
    pub(super) fn replace(&mut self, merged: &[Arc<Frozen>], made: Option<Frozen>) {
        self.frozen.retain(|part| !merged.iter().any(|gone| Arc::ptr_eq(gone, &part.whole)));
        self.take(made);
    }

    fn take(&mut self, made: Option<Frozen>) {
        if let Some(made) = made {
            let live = made.run().members().intersection_len(&self.live);
            self.frozen.push(Part::new(made, live));
        }
    }
}
