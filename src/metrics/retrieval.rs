//! Retrieval: where the right answer stands in each ranking.
//!
//! A rank counts from 1; `None` says that the right answer was not found. Several right answers: the best rank.

/// Recall@k, the share of queries whose right answer stands among the first `k`: 0 to 1. Without queries, 0.
/// With one right answer a query this is also called the hit rate or top-k accuracy.
pub fn recall_at(ranks: &[Option<usize>], k: usize) -> f64 {
    mean(ranks, |rank| if rank <= k { 1.0 } else { 0.0 })
}

/// MRR@k, the mean of 1 / rank, ranks past `k` counting 0: 0 to 1. Without queries, 0.
/// Source: the TREC-8 question answering track (Voorhees, 1999), with MS MARCO's cut-off.
pub fn reciprocal_rank_at(ranks: &[Option<usize>], k: usize) -> f64 {
    mean(ranks, |rank| if rank <= k { 1.0 / rank as f64 } else { 0.0 })
}

/// The mean of `score` over all queries; an answer that was not found scores 0.
fn mean(ranks: &[Option<usize>], score: impl Fn(usize) -> f64) -> f64 {
    if ranks.is_empty() {
        return 0.0;
    }
    debug_assert!(ranks.iter().flatten().all(|&rank| rank > 0), "ranks count from 1");
    ranks.iter().flatten().map(|&rank| score(rank)).sum::<f64>() / ranks.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_what_stands_among_the_first_k() {
        let ranks = [Some(1), Some(2), Some(11), None];
        assert_eq!(recall_at(&ranks, 1), 0.25);
        assert_eq!(recall_at(&ranks, 10), 0.5);
        assert_eq!(recall_at(&ranks, 11), 0.75);
        assert_eq!(reciprocal_rank_at(&ranks, 10), 1.5 / 4.0);
        assert_eq!(reciprocal_rank_at(&ranks, 1), 0.25);
    }

    #[test]
    fn nothing_asked_or_nothing_found_is_zero() {
        assert_eq!(recall_at(&[], 10), 0.0);
        assert_eq!(reciprocal_rank_at(&[], 10), 0.0);
        assert_eq!(recall_at(&[None, None], 10), 0.0);
        assert_eq!(recall_at(&[Some(1)], 0), 0.0);
    }

    proptest! {
        #[test]
        fn bounds_and_order(ranks in prop::collection::vec(prop::option::of(1usize..20), 0..40), k in 1usize..15) {
            let (first, recall, mrr) = (recall_at(&ranks, 1), recall_at(&ranks, k), reciprocal_rank_at(&ranks, k));
            prop_assert!((0.0..=1.0).contains(&recall));
            prop_assert!(first <= mrr + 1e-12 && mrr <= recall + 1e-12, "{first} ≤ {mrr} ≤ {recall}");
            prop_assert!(recall <= recall_at(&ranks, k + 1));
            let turned: Vec<_> = ranks.iter().rev().copied().collect();
            prop_assert_eq!(recall, recall_at(&turned, k));
            prop_assert!((mrr - reciprocal_rank_at(&turned, k)).abs() < 1e-12);
        }
    }
}
