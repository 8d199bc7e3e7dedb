//! Sentences that wait for the network, and how they are cut into batches of like length.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::call::Call;

/// What a batch costs beside its tokens, in tokens: reading all weights once more. On one core a sentence of 10 tokens took
/// 2.5 ms in a batch of its own and 1.5 ms in one of 256 tokens (`simbert bench encode --budget 16,256`), so it is 7 to 8.
const BATCH: usize = 8;
/// How many sentences to each side, in the order of their lengths, are looked at for company.
const NEAR: usize = 256;
/// Work for several threads is shared out, but not into smaller batches than this: those are slower by the token.
const LEAST_TOKENS: usize = 128;

/// The sentences of one call that no batch has taken yet.
struct Waiting {
    call: Arc<Call>,
    /// Rows of the call, shortest first.
    rest: Vec<usize>,
}

/// What waits, in turns: a call that had a batch and has more goes to the end.
#[derive(Default)]
pub(super) struct Queue {
    calls: VecDeque<Waiting>,
    tokens: usize,
}

/// Rows of calls that are computed together.
pub(super) type Batch = Vec<(Arc<Call>, usize)>;

impl Queue {
    pub fn push(&mut self, call: Arc<Call>) {
        let mut rest: Vec<usize> = (0..call.rows.len()).collect();
        rest.sort_by_key(|&row| call.rows[row].len());
        self.tokens += call.rows.iter().map(Vec::len).sum::<usize>();
        self.calls.push_back(Waiting { call, rest });
    }

    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Rows that no batch has taken.
    pub fn len(&self) -> usize {
        self.calls.iter().map(|waiting| waiting.rest.len()).sum()
    }

    /// Leaves out calls that have failed, or that nobody waits for.
    pub fn drop_abandoned(&mut self) {
        let Self { calls, tokens } = self;
        calls.retain(|waiting| {
            let abandoned = waiting.call.is_abandoned();
            if abandoned {
                *tokens -= waiting.rest.iter().map(|&row| waiting.call.rows[row].len()).sum::<usize>();
            }
            !abandoned
        });
    }

    /// The next batch: the longest sentence of the call whose turn it is, and those of this call and of others that are
    /// best computed with it (see [`company`]). It computes at most `budget` tokens (unless it is one long sentence), and
    /// leaves work for the others of `threads`.
    pub fn take(&mut self, budget: usize, threads: usize) -> Option<Batch> {
        let first = self.calls.front()?;
        let turn = first.rest.last().map_or(0, |&row| first.call.rows[row].len());
        let most = self.tokens.div_ceil(threads).max(LEAST_TOKENS).min(budget);
        let mut lengths: Vec<usize> = self.calls.iter().flat_map(Waiting::lengths).collect();
        lengths.sort_unstable();
        let place = lengths.partition_point(|&length| length <= turn) - 1;
        let near = &lengths[place.saturating_sub(NEAR)..lengths.len().min(place + NEAR)];
        let chosen = &near[company(near, place.min(NEAR), most)];

        let (shortest, longest) = (chosen[0], chosen[chosen.len() - 1]);
        let mut wanted = vec![0; longest - shortest + 1];
        chosen.iter().for_each(|length| wanted[length - shortest] += 1);
        let mut batch = Batch::with_capacity(chosen.len());
        for Waiting { call, rest } in &mut self.calls {
            if batch.len() == chosen.len() {
                break;
            }
            rest.retain(|&row| {
                let length = call.rows[row].len();
                let left =
                    length.checked_sub(shortest).and_then(|place| wanted.get_mut(place)).filter(|left| **left > 0);
                let taken = left.map(|left| *left -= 1).is_some();
                if taken {
                    batch.push((Arc::clone(call), row));
                }
                !taken
            });
        }
        self.tokens -= chosen.iter().sum::<usize>();
        if self.calls.front().is_some_and(|first| !first.rest.is_empty()) {
            self.calls.rotate_left(1);
        }
        self.calls.retain(|waiting| !waiting.rest.is_empty());
        Some(batch)
    }
}

impl Waiting {
    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.rest.iter().map(|&row| self.call.rows[row].len())
    }
}

/// The batch that the sentence at `place` is in when all `lengths`, which ascend, are cut into batches of at most `most`
/// tokens, so that all of them together cost least. A batch costs the tokens that it computes, padding too, and
/// [`BATCH`].
fn company(lengths: &[usize], place: usize, most: usize) -> Range<usize> {
    // Of each prefix: what it costs, and where its last batch begins.
    let mut best = vec![(0, 0)];
    for end in 1..=lengths.len() {
        let width = lengths[end - 1];
        let rows = (most / width.max(1)).max(1);
        let cost = |start: usize| (best[start].0 + BATCH + width * (end - start), start);
        let starts = end.saturating_sub(rows)..end;
        best.push(starts.map(cost).min().unwrap_or_default()); // there is at least one
    }
    let mut end = lengths.len();
    while best[end].1 > place {
        end = best[end].1;
    }
    best[end].1..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Waiter;
    use proptest::prelude::*;

    fn call(lengths: &[usize]) -> Arc<Call> {
        let rows = lengths.iter().map(|&length| vec![0; length]).collect();
        Arc::new(Call::new(rows, Waiter::default(), Box::new(|_| ())))
    }

    fn lengths(batch: &Batch) -> Vec<usize> {
        batch.iter().map(|(call, row)| call.rows[*row].len()).collect()
    }

    #[test]
    fn like_lengths_share_a_batch_whoever_asked() {
        let mut queue = Queue::default();
        queue.push(call(&[9, 30, 9]));
        queue.push(call(&[30]));
        assert_eq!(lengths(&queue.take(256, 1).unwrap()), [30, 30]);
        assert_eq!(lengths(&queue.take(256, 1).unwrap()), [9, 9]);
        assert!(queue.is_empty() && queue.take(256, 1).is_none());
    }

    #[test]
    fn a_little_padding_is_cheaper_than_another_batch_and_much_is_not() {
        let mut queue = Queue::default();
        [12, 4, 30, 11, 13, 12].into_iter().for_each(|length| queue.push(call(&[length])));
        let mut batch = lengths(&queue.take(256, 1).unwrap());
        batch.sort_unstable();
        assert_eq!(batch, [11, 12, 12, 13], "the one whose turn it is, and both longer and shorter ones");
        assert_eq!(lengths(&queue.take(256, 1).unwrap()), [4]);
        assert_eq!(lengths(&queue.take(256, 1).unwrap()), [30]);
    }

    #[test]
    fn a_small_call_waits_for_one_batch_of_a_large_one() {
        let mut queue = Queue::default();
        queue.push(call(&[10; 1000]));
        queue.push(call(&[40]));
        assert_eq!(queue.take(256, 1).unwrap().len(), 25);
        assert_eq!(lengths(&queue.take(256, 1).unwrap()), [40]);
        assert_eq!(queue.take(256, 1).unwrap().len(), 25);
    }

    #[test]
    fn threads_share_what_is_left() {
        let mut queue = Queue::default();
        queue.push(call(&[10; 40]));
        assert_eq!([20, 12, 8], [2, 2, 2].map(|threads| queue.take(256, threads).unwrap().len()));
    }

    proptest! {
        #[test]
        fn each_sentence_is_in_one_batch_within_the_budget(
            calls in prop::collection::vec(prop::collection::vec(2_usize..70, 1..40), 0..8),
            budget in 1_usize..512, threads in 1_usize..5,
        ) {
            let mut queue = Queue::default();
            calls.iter().for_each(|lengths| queue.push(call(lengths)));
            let mut seen = Vec::new();
            while let Some(batch) = queue.take(budget, threads) {
                let found = lengths(&batch);
                let width = found.iter().max().unwrap();
                prop_assert!(found.len() == 1 || width * found.len() <= budget);
                seen.extend(found);
            }
            let mut expected = calls.concat();
            expected.sort_unstable();
            seen.sort_unstable();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(queue.tokens, 0);
        }

        #[test]
        fn no_other_cut_costs_less(mut lengths in prop::collection::vec(1_usize..40, 1..9), most in 1_usize..120) {
            lengths.sort_unstable();
            let cost = |batch: &[usize]| BATCH + batch.len() * batch[batch.len() - 1];
            let mut left = 0..lengths.len();
            let mut found = 0;
            while !left.is_empty() {
                let batch = company(&lengths[left.clone()], left.len() - 1, most);
                let batch = left.start + batch.start..left.start + batch.end;
                prop_assert_eq!(batch.end, left.end);
                found += cost(&lengths[batch.clone()]);
                left.end = batch.start;
            }
            // Each bit says whether a batch ends there.
            let cuts = 0_u32..1 << (lengths.len() - 1);
            let least = cuts.filter_map(|cuts| {
                let ends = (0..lengths.len()).filter(|i| cuts >> i & 1 == 1 || i + 1 == lengths.len());
                let batches: Vec<_> = ends.scan(0, |start, end| Some(std::mem::replace(start, end + 1)..end + 1)).collect();
                let fits = |batch: &Range<usize>| batch.len() == 1 || batch.len() * lengths[batch.end - 1] <= most;
                batches.iter().all(fits).then(|| batches.into_iter().map(|batch| cost(&lengths[batch])).sum::<usize>())
            });
            prop_assert_eq!(found, least.min().unwrap());
        }
    }
}
