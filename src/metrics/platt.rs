//! Platt scaling.

use super::curve::{Curve, Outcome, sigmoid, targets};

const MOST_STEPS: usize = 100;
/// The gradient, for each outcome, at which the fit is good enough.
const FLAT: f64 = 1e-10;
/// Keeps the Hessian invertible where all scores are equal.
const RIDGE: f64 = 1e-12;
/// A step is halved until it is as good as this share of what the gradient promises.
const SUFFICIENT: f64 = 1e-4;

/// The logistic curve under which the outcomes are likeliest, with Platt's smoothed targets: two numbers, so it needs
/// few outcomes, and says the more about rare scores. Scores that run against the labels give a level curve.
/// Source: Platt, “Probabilistic outputs for support vector machines”, 1999; by Newton's method with backtracking, as
/// in Lin, Lin and Weng, “A note on Platt's probabilistic outputs for support vector machines”, 2007.
///
/// `None` without outcomes, or where a score or a weight is no finite number.
pub fn platt(outcomes: &[Outcome]) -> Option<Curve> {
    let targets = targets(outcomes)?;
    let points: Vec<(f64, f64, f64)> =
        outcomes.iter().map(|o| (o.score, targets[usize::from(o.positive)], o.weight)).collect();
    let weight: f64 = points.iter().map(|&(_, _, w)| w).sum();
    let share = points.iter().map(|&(_, t, w)| w * t).sum::<f64>() / weight;
    let level = (0.0, (share / (1.0 - share)).ln()); // the targets lie between 0 and 1, and so does their mean
    let (mut slope, mut intercept) = level;
    let mut loss = cross_entropy(&points, slope, intercept);
    for _ in 0..MOST_STEPS {
        let ([g_slope, g_intercept], [h_slope, h_both, h_intercept]) = derivatives(&points, slope, intercept);
        if g_slope.abs().max(g_intercept.abs()) <= FLAT * weight {
            break;
        }
        let determinant = h_slope * h_intercept - h_both * h_both;
        let d_slope = -(h_intercept * g_slope - h_both * g_intercept) / determinant;
        let d_intercept = -(h_slope * g_intercept - h_both * g_slope) / determinant;
        let promise = g_slope * d_slope + g_intercept * d_intercept;
        let mut step = 1.0;
        let accepted = loop {
            let (s, i) = (slope + step * d_slope, intercept + step * d_intercept);
            let there = cross_entropy(&points, s, i);
            if there <= loss + SUFFICIENT * step * promise {
                break Some((s, i, there));
            }
            step /= 2.0;
            if step < 1e-10 {
                break None; // no better within what f64 can tell
            }
        };
        match accepted {
            Some(found) => (slope, intercept, loss) = found,
            None => break,
        }
    }
    // The loss is convex: if its minimum lies below slope 0, the best slope that does not fall is 0.
    let (slope, intercept) = if slope > 0.0 { (slope, intercept) } else { level };
    Some(Curve::Platt { slope, intercept })
}

/// Σ w · (ln(1 + exp z) − t · z), z being the log odds.
fn cross_entropy(points: &[(f64, f64, f64)], slope: f64, intercept: f64) -> f64 {
    let one = |&(x, t, w): &(f64, f64, f64)| {
        let z = slope * x + intercept;
        w * (z.max(0.0) + (-z.abs()).exp().ln_1p() - t * z)
    };
    points.iter().map(one).sum()
}

/// The gradient (by slope, by intercept) and the Hessian (slope², both, intercept²).
fn derivatives(points: &[(f64, f64, f64)], slope: f64, intercept: f64) -> ([f64; 2], [f64; 3]) {
    let (mut gradient, mut hessian) = ([0.0; 2], [RIDGE, 0.0, RIDGE]);
    for &(x, t, w) in points {
        let p = sigmoid(slope * x + intercept);
        let (difference, curvature) = (w * (p - t), w * p * (1.0 - p));
        gradient[0] += difference * x;
        gradient[1] += difference;
        hessian[0] += curvature * x * x;
        hessian[1] += curvature * x;
        hessian[2] += curvature;
    }
    (gradient, hessian)
}

#[cfg(test)]
mod tests {
    use super::super::curve::tests_support::{outcomes, weighted};
    use super::*;
    use proptest::prelude::*;

    fn parameters(curve: Option<Curve>) -> (f64, f64) {
        match curve {
            Some(Curve::Platt { slope, intercept }) => (slope, intercept),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_scores_are_met_exactly() {
        // Three right at 1, three wrong at −1: the targets 4/5 and 1/5 are met by slope ln 4 and intercept 0.
        let (slope, intercept) = parameters(platt(&outcomes(&[(1.0, true), (-1.0, false)].repeat(3))));
        assert!((slope - 4f64.ln()).abs() < 1e-9 && intercept.abs() < 1e-9, "{slope} {intercept}");
        // Two right and one wrong at 0.5, one right and three wrong at 0: targets 4/5 and 1/6, means 53/90 and 13/40.
        let mixed = [(0.5, true), (0.5, true), (0.5, false), (0.0, true), (0.0, false), (0.0, false), (0.0, false)];
        let (slope, intercept) = parameters(platt(&outcomes(&mixed)));
        let logit = |p: f64| (p / (1.0 - p)).ln();
        assert!((intercept - logit(13.0 / 40.0)).abs() < 1e-9);
        assert!((slope / 2.0 + intercept - logit(53.0 / 90.0)).abs() < 1e-9);
    }

    #[test]
    fn a_weight_of_two_is_an_outcome_twice() {
        let once = outcomes(&[(0.9, true), (0.9, true), (0.3, false), (0.5, true), (0.6, false)]);
        let mut heavy = outcomes(&[(0.9, true), (0.3, false), (0.5, true), (0.6, false)]);
        heavy[0].weight = 2.0;
        let ((s, i), (t, j)) = (parameters(platt(&once)), parameters(platt(&heavy)));
        assert!((s - t).abs() < 1e-8 && (i - j).abs() < 1e-8);
    }

    #[test]
    fn what_has_no_slope_is_level() {
        // Against the labels; of one score; of one label.
        assert_eq!(parameters(platt(&outcomes(&[(0.1, true), (0.9, false)]))), (0.0, 0.0));
        let (slope, intercept) = parameters(platt(&outcomes(&[(0.4, true), (0.4, false)])));
        assert!((sigmoid(slope * 0.4 + intercept) - 0.5).abs() < 1e-9);
        let (slope, intercept) = parameters(platt(&outcomes(&[(0.1, true), (0.9, true)])));
        assert_eq!(slope, 0.0);
        assert!((sigmoid(intercept) - 0.75).abs() < 1e-9);
        assert_eq!(platt(&[]), None);
        assert_eq!(platt(&outcomes(&[(f64::INFINITY, true)])), None);
    }

    proptest! {
        #[test]
        fn is_a_sound_curve_at_a_minimum(found in weighted(), d_slope in -1.0f64..1.0, d_intercept in -1.0f64..1.0) {
            let curve = platt(&found).unwrap();
            prop_assert_eq!(curve.flaw(), None);
            let targets = targets(&found).unwrap();
            let points: Vec<_> = found.iter().map(|o| (o.score, targets[usize::from(o.positive)], o.weight)).collect();
            let (slope, intercept) = parameters(Some(curve));
            let here = cross_entropy(&points, slope, intercept);
            let there = cross_entropy(&points, (slope + d_slope).max(0.0), intercept + d_intercept);
            prop_assert!(here <= there + 1e-9 * found.len() as f64, "{} > {}", here, there);
        }
    }
}
