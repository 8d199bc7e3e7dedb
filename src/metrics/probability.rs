//! How good probabilities are. Here the score of an [`Outcome`] is the probability that it was given, unless said
//! otherwise; each counts by its weight.

use serde::Serialize;

use super::Outcome;

/// A probability counts as at least this far from 0 and 1, so that one mistake does not cost infinitely much.
const NEVER_SURE: f64 = 1e-6;

/// Mean of −ln of the probability given to what came true, in nats: 0 is best, ln 2 is a coin's. 0 without outcomes.
pub fn log_loss(outcomes: &[Outcome]) -> f64 {
    mean(outcomes, |o| {
        let p = o.score.clamp(NEVER_SURE, 1.0 - NEVER_SURE);
        -(if o.positive { p } else { 1.0 - p }).ln()
    })
}

/// Mean square of what the probability was off by: 0 is best, 1 is worst. 0 without outcomes. Source: Brier, 1950.
pub fn brier_score(outcomes: &[Outcome]) -> f64 {
    mean(outcomes, |o| (o.score - truth(o)).powi(2))
}

/// The mean, over outcomes, of how far the mean probability of their bin is from the share that came true: 0 to 1.
/// Source: Naeini et al., “Obtaining well calibrated probabilities using Bayesian binning”, 2015, with bins of equal
/// width.
pub fn calibration_error(outcomes: &[Outcome], bins: usize) -> f64 {
    let bins = reliability(outcomes, bins);
    let weight: f64 = bins.iter().map(|bin| bin.weight).sum();
    let off: f64 = bins.iter().map(|bin| bin.weight * (bin.mean - bin.share).abs()).sum();
    if weight > 0.0 { off / weight } else { 0.0 }
}

/// Outcomes of like scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Mean of the scores.
    pub mean: f64,
    /// Share that came true: 0 to 1.
    pub share: f64,
    /// Of all its outcomes.
    pub weight: f64,
}

/// The outcomes in `count` bins of equal width over 0 to 1, lowest first, empty ones left out. A score past an end
/// counts in the last bin there.
pub fn reliability(outcomes: &[Outcome], count: usize) -> Vec<Bin> {
    let mut sums = vec![(0.0, 0.0, 0.0); count.max(1)];
    for outcome in outcomes {
        // A float below 0, or NaN, becomes 0.
        let at = ((outcome.score * count as f64) as usize).min(count.saturating_sub(1));
        let (score, positive, weight) = &mut sums[at];
        *score += outcome.weight * outcome.score;
        *positive += outcome.weight * truth(outcome);
        *weight += outcome.weight;
    }
    sums.retain(|&(_, _, weight)| weight > 0.0);
    sums.into_iter()
        .map(|(score, positive, weight)| Bin { mean: score / weight, share: positive / weight, weight })
        .collect()
}

/// What taking every score from some score up gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cut {
    /// The least score that is taken.
    pub score: f64,
    /// Share of what is taken that is right.
    pub precision: f64,
    /// Share of what is right that is taken.
    pub recall: f64,
}

/// The lowest cut whose precision is at least `precision`; `None` where there is none. Scores of any range.
pub fn cut_at_precision(outcomes: &[Outcome], precision: f64) -> Option<Cut> {
    let mut sorted = outcomes.to_vec();
    sorted.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let all: f64 = sorted.iter().filter(|o| o.positive).map(|o| o.weight).sum();
    let (mut right, mut taken, mut best) = (0.0, 0.0, None);
    for tied in sorted.chunk_by(|a, b| a.score == b.score) {
        taken += tied.iter().map(|o| o.weight).sum::<f64>();
        right += tied.iter().filter(|o| o.positive).map(|o| o.weight).sum::<f64>();
        if right > 0.0 && right >= precision * taken * (1.0 - f64::EPSILON) {
            best = Some(Cut { score: tied[0].score, precision: right / taken, recall: right / all });
        }
    }
    best
}

fn truth(outcome: &Outcome) -> f64 {
    f64::from(u8::from(outcome.positive))
}

fn mean(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    let weight: f64 = outcomes.iter().map(|o| o.weight).sum();
    if weight > 0.0 { outcomes.iter().map(|o| o.weight * of(o)).sum::<f64>() / weight } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::curve::tests_support::{outcomes, weighted};
    use super::super::{isotonic, platt};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn losses_of_known_probabilities() {
        let found = outcomes(&[(0.8, true), (0.4, false)]);
        assert!((log_loss(&found) + (0.8f64.ln() + 0.6f64.ln()) / 2.0).abs() < 1e-12);
        assert!((brier_score(&found) - (0.04 + 0.16) / 2.0).abs() < 1e-12);
        assert!((log_loss(&outcomes(&[(0.0, true)])) - 13.815_510_557_964_274).abs() < 1e-9);
        assert_eq!((log_loss(&[]), brier_score(&[]), calibration_error(&[], 10)), (0.0, 0.0, 0.0));
        let heavy = [Outcome { weight: 3.0, ..found[0] }, found[1]];
        assert!((brier_score(&heavy) - (3.0 * 0.04 + 0.16) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn bins_compare_what_was_said_with_what_came() {
        let found = outcomes(&[(0.91, true), (0.95, false), (0.99, true), (1.0, true), (0.12, false), (-0.2, false)]);
        let bins = reliability(&found, 10);
        assert_eq!(bins.iter().map(|bin| bin.weight).collect::<Vec<_>>(), [1.0, 1.0, 4.0]);
        assert!((bins[2].mean - 0.9625).abs() < 1e-12 && bins[2].share == 0.75);
        let expected = (4.0 * 0.2125 + 0.12 + 0.2) / 6.0;
        assert!((calibration_error(&found, 10) - expected).abs() < 1e-12);
        assert_eq!(calibration_error(&outcomes(&[(0.5, true), (0.5, false)]), 10), 0.0);
    }

    #[test]
    fn the_lowest_cut_of_a_precision_has_its_recall() {
        let found = outcomes(&[(0.9, true), (0.8, false), (0.7, true), (0.7, true), (0.6, false), (0.5, true)]);
        assert_eq!(cut_at_precision(&found, 0.75), Some(Cut { score: 0.7, precision: 0.75, recall: 0.75 }));
        assert_eq!(cut_at_precision(&found, 1.0), Some(Cut { score: 0.9, precision: 1.0, recall: 0.25 }));
        assert_eq!(cut_at_precision(&found, 0.1).unwrap().recall, 1.0);
        assert_eq!(cut_at_precision(&outcomes(&[(0.9, false), (0.8, true)]), 0.9), None);
        assert_eq!(cut_at_precision(&outcomes(&[(0.9, false)]), 0.0), None);
    }

    proptest! {
        #[test]
        fn the_losses_of_any_fit_are_in_their_ranges(found in weighted()) {
            for curve in [isotonic(&found), platt(&found)].into_iter().flatten() {
                let fitted: Vec<_> = found.iter().map(|o| Outcome { score: curve.probability(o.score), ..*o }).collect();
                prop_assert!(log_loss(&fitted) >= 0.0);
                prop_assert!((0.0..=1.0).contains(&brier_score(&fitted)));
                prop_assert!((0.0..=1.0).contains(&calibration_error(&fitted, 10)));
            }
        }

        #[test]
        fn a_cut_is_what_it_says(found in weighted(), precision in 0.0f64..=1.0) {
            if let Some(cut) = cut_at_precision(&found, precision) {
                let weight = |keep: &dyn Fn(&&Outcome) -> bool| found.iter().filter(keep).map(|o| o.weight).sum::<f64>();
                let (taken, right) = (weight(&|o| o.score >= cut.score), weight(&|o| o.score >= cut.score && o.positive));
                prop_assert!(cut.precision >= precision - 1e-9);
                prop_assert!((cut.precision - right / taken).abs() < 1e-9);
                prop_assert!((cut.recall - right / weight(&|o| o.positive)).abs() < 1e-9);
            }
        }
    }
}
