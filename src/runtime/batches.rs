//! Cuts sentences into batches of like length.

/// Padding that a batch may hold, as a share of its budget: a little is cheaper than reading all weights once more
/// for the next length.
const PADDING_SHARE: usize = 16;

/// Groups sentences by length: each batch is a list of indices into `lengths`, computes at most `budget` tokens
/// (unless it is one long sentence) and at most `budget / 16` of them as padding. Shortest first.
pub fn batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| lengths[i]);
    let mut all: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for i in order {
        let width = lengths[i]; // the longest so far
        if let Some(batch) = all.last_mut() {
            let computed = width * (batch.len() + 1);
            let padding = computed - tokens - width;
            if computed <= budget && padding <= budget / PADDING_SHARE {
                batch.push(i);
                tokens += width;
                continue;
            }
        }
        all.push(vec![i]);
        tokens = width;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn like_lengths_share_a_batch() {
        assert_eq!(batches(&[3, 9, 3, 9], 16), [vec![0, 2], vec![1], vec![3]]);
    }

    #[test]
    fn a_little_padding_is_allowed() {
        assert_eq!(batches(&[10, 11, 40], 256), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(batches(&[], 64).is_empty());
    }

    proptest! {
        #[test]
        fn each_sentence_is_in_one_batch_within_the_budget(
            lengths in prop::collection::vec(2_usize..70, 0..200), budget in 1_usize..512
        ) {
            let all = batches(&lengths, budget);
            let mut seen: Vec<usize> = all.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in all {
                let width = batch.iter().map(|&i| lengths[i]).max().unwrap();
                let tokens: usize = batch.iter().map(|&i| lengths[i]).sum();
                prop_assert!(batch.len() == 1 || width * batch.len() <= budget);
                prop_assert!(width * batch.len() - tokens <= budget / PADDING_SHARE);
            }
        }
    }
}
