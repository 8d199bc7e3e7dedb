//! Sentences that wait for the network, and how they are cut into batches of like length.

use std::collections::VecDeque;
use std::sync::Arc;

use super::call::Call;

/// Padding that a batch may hold, as a share of the budget: a little is cheaper than reading all weights once more
/// for the next length.
const PADDING_SHARE: usize = 16;
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

    /// The next batch: the longest sentence of the call whose turn it is, and what is hardly shorter, of this call and
    /// then of others. It computes at most `budget` tokens (unless it is one long sentence), at most a sixteenth of
    /// that as padding, and leaves work for the others of `threads`.
    pub fn take(&mut self, budget: usize, threads: usize) -> Option<Batch> {
        let first = self.calls.front()?;
        let width = first.rest.last().map_or(0, |&row| first.call.rows[row].len());
        let most = self.tokens.div_ceil(threads).max(LEAST_TOKENS).min(budget);
        let mut batch = Batch::new();
        let mut tokens = 0;
        for Waiting { call, rest } in &mut self.calls {
            while let Some(place) = rest.partition_point(|&row| call.rows[row].len() <= width).checked_sub(1) {
                let length = call.rows[rest[place]].len();
                let computed = width * (batch.len() + 1);
                let padding = computed - tokens - length;
                if !batch.is_empty() && (computed > most || padding > budget / PADDING_SHARE) {
                    break;
                }
                batch.push((Arc::clone(call), rest.remove(place)));
                tokens += length;
            }
        }
        self.tokens -= tokens;
        if self.calls.front().is_some_and(|first| !first.rest.is_empty()) {
            self.calls.rotate_left(1);
        }
        self.calls.retain(|waiting| !waiting.rest.is_empty());
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn call(lengths: &[usize]) -> Arc<Call> {
        Arc::new(Call::new(lengths.iter().map(|&length| vec![0; length]).collect(), None))
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
                let (width, tokens) = (found[0], found.iter().sum::<usize>());
                prop_assert!(found.iter().all(|&length| length <= width));
                prop_assert!(found.len() == 1 || width * found.len() <= budget);
                prop_assert!(width * found.len() - tokens <= budget / PADDING_SHARE);
                seen.extend(found);
            }
            let mut expected = calls.concat();
            expected.sort_unstable();
            seen.sort_unstable();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(queue.tokens, 0);
        }
    }
}
