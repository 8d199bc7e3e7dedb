//! Curves that turn a score into a probability.

use serde::{Deserialize, Serialize};

/// Something that was scored and turned out right or wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Any finite number that grows with likeness; a probability, where one is judged.
    pub score: f64,
    pub positive: bool,
    /// How much it counts, above 0.
    pub weight: f64,
}

/// The probability of being right at each score. It never falls as the score grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum Curve {
    /// Straight lines between knots of score and probability, level past both ends. See [`super::isotonic`].
    Isotonic { knots: Vec<(f64, f64)> },
    /// 1 / (1 + exp(−(slope · score + intercept))). See [`super::platt`].
    Platt { slope: f64, intercept: f64 },
}

impl Curve {
    /// The probability at `score`: 0 to 1.
    pub fn probability(&self, score: f64) -> f64 {
        match self {
            Self::Platt { slope, intercept } => sigmoid(slope * score + intercept),
            Self::Isotonic { knots } => {
                let above = knots.partition_point(|knot| knot.0 <= score);
                match (above.checked_sub(1).and_then(|below| knots.get(below)), knots.get(above)) {
                    (Some(&(x, p)), Some(&(x_above, p_above))) => {
                        // Rounding must not lead past the next knot.
                        (p + (p_above - p) * ((score - x) / (x_above - x))).clamp(p, p_above)
                    }
                    (Some(&(_, p)), None) | (None, Some(&(_, p))) => p,
                    (None, None) => 0.0,
                }
            }
        }
    }

    /// What keeps this from being a curve as promised, if anything does: for curves that were read from a file.
    pub fn flaw(&self) -> Option<String> {
        match self {
            Self::Platt { slope, intercept } => {
                (!(slope.is_finite() && *slope >= 0.0 && intercept.is_finite())).then(|| {
                    format!("expected a finite slope from 0 and a finite intercept, found {slope} and {intercept}")
                })
            }
            Self::Isotonic { knots } => {
                if knots.is_empty() {
                    return Some("expected at least one knot, found none".to_owned());
                }
                let sound = |&&(x, p): &&(f64, f64)| x.is_finite() && (0.0..=1.0).contains(&p);
                if let Some((x, p)) = knots.iter().find(|knot| !sound(knot)) {
                    return Some(format!("expected knots of a finite score and a probability, found [{x}, {p}]"));
                }
                let falls = knots.windows(2).find(|pair| pair[0].0 >= pair[1].0 || pair[0].1 > pair[1].1)?;
                let ((x, p), (y, q)) = (falls[0], falls[1]);
                Some(format!(
                    "expected scores that rise and probabilities that never fall, found [{x}, {p}] before [{y}, {q}]"
                ))
            }
        }
    }
}

pub(super) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// What a curve is fitted to at a negative and at a positive outcome: 1 / (N₋ + 2) and (N₊ + 1) / (N₊ + 2), N being
/// the weight of each kind. So no finite number of outcomes makes anything certain. Source: Platt, “Probabilistic
/// outputs for support vector machines”, 1999, section 2.2. `None` without outcomes, or where a number is not one.
pub(super) fn targets(outcomes: &[Outcome]) -> Option<[f64; 2]> {
    let sound = |o: &Outcome| o.score.is_finite() && o.weight.is_finite() && o.weight > 0.0;
    if outcomes.is_empty() || !outcomes.iter().all(sound) {
        return None;
    }
    let weight = |positive| outcomes.iter().filter(|o| o.positive == positive).map(|o| o.weight).sum::<f64>();
    let (negative, positive) = (weight(false), weight(true));
    Some([1.0 / (negative + 2.0), (positive + 1.0) / (positive + 2.0)])
}

#[cfg(test)]
pub(super) mod tests_support {
    use super::Outcome;
    use proptest::prelude::*;

    pub fn outcomes(of: &[(f64, bool)]) -> Vec<Outcome> {
        of.iter().map(|&(score, positive)| Outcome { score, positive, weight: 1.0 }).collect()
    }

    /// Outcomes with many ties, and of weights that differ.
    pub fn weighted() -> impl Strategy<Value = Vec<Outcome>> {
        let outcome = (-20i32..=20, any::<bool>(), 1u32..40).prop_map(|(x, positive, w)| Outcome {
            score: f64::from(x) / 20.0,
            positive,
            weight: f64::from(w) / 10.0,
        });
        prop::collection::vec(outcome, 1..60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knots_are_joined_by_lines() {
        let curve = Curve::Isotonic { knots: vec![(0.2, 0.1), (0.4, 0.1), (0.8, 0.9)] };
        for (score, probability) in
            [(-1.0, 0.1), (0.2, 0.1), (0.3, 0.1), (0.5, 0.3), (0.6, 0.5), (0.8, 0.9), (2.0, 0.9)]
        {
            assert!((curve.probability(score) - probability).abs() < 1e-12, "at {score}");
        }
        assert_eq!(Curve::Isotonic { knots: vec![(0.5, 0.7)] }.probability(0.1), 0.7);
    }

    #[test]
    fn a_logistic_curve_is_one_half_at_its_middle() {
        let curve = Curve::Platt { slope: 2.0, intercept: -1.0 };
        assert_eq!(curve.probability(0.5), 0.5);
        assert!((curve.probability(0.5 + 3f64.ln() / 2.0) - 0.75).abs() < 1e-12);
        assert_eq!(Curve::Platt { slope: 1e9, intercept: 0.0 }.probability(-1.0), 0.0);
    }

    #[test]
    fn flaws_are_named() {
        let isotonic = |knots: &[(f64, f64)]| Curve::Isotonic { knots: knots.to_vec() }.flaw();
        assert_eq!(isotonic(&[(0.1, 0.0), (0.2, 0.0), (0.3, 1.0)]), None);
        assert!(isotonic(&[]).unwrap().contains("at least one knot"));
        assert!(isotonic(&[(0.1, 0.5), (0.2, 0.4)]).unwrap().ends_with("found [0.1, 0.5] before [0.2, 0.4]"));
        assert!(isotonic(&[(0.1, 0.5), (0.1, 0.6)]).is_some());
        for bad in [(f64::NAN, 0.5), (0.1, 1.1), (0.1, -0.1), (0.1, f64::NAN)] {
            assert!(isotonic(&[bad]).unwrap().contains("a finite score and a probability"));
        }
        let platt = |slope, intercept| Curve::Platt { slope, intercept }.flaw();
        assert_eq!(platt(0.0, -3.0), None);
        for (slope, intercept) in [(-0.1, 0.0), (f64::NAN, 0.0), (1.0, f64::INFINITY)] {
            assert!(platt(slope, intercept).unwrap().contains("slope"));
        }
    }

    proptest! {
        #[test]
        fn a_sound_curve_never_falls(knots in prop::collection::btree_map(-1000i32..1000, 0u32..=1000, 1..20), scores in prop::collection::vec(-1.2f64..1.2, 2..40)) {
            let mut heights: Vec<f64> = knots.values().map(|&p| f64::from(p) / 1000.0).collect();
            heights.sort_by(f64::total_cmp);
            let curve = Curve::Isotonic { knots: knots.keys().map(|&x| f64::from(x) / 1000.0).zip(heights).collect() };
            prop_assert_eq!(curve.flaw(), None);
            let mut scores = scores;
            scores.sort_by(f64::total_cmp);
            let found: Vec<f64> = scores.iter().map(|&score| curve.probability(score)).collect();
            prop_assert!(found.iter().all(|p| (0.0..=1.0).contains(p)));
            prop_assert!(found.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", found);
        }
    }
}
