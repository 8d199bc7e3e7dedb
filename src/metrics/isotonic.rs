//! Isotonic regression.

use super::curve::{Curve, Outcome, targets};

/// Scores that agree to a millionth are one score; so precise is an f32 cosine, and a file holds them exactly.
const SCORES: f64 = 1e6;
/// Probabilities are kept to a billionth.
const PROBABILITIES: f64 = 1e9;

/// The curve that never falls and is nearest to the outcomes in squares, found by pooling adjacent violators. It takes
/// whatever shape the outcomes have, and needs many of them. The targets are Platt's instead of 0 and 1.
/// Source: Zadrozny and Elkan, “Transforming classifier scores into accurate multiclass probability estimates”, 2002.
///
/// `None` without outcomes, or where a score or a weight is no finite number.
pub fn isotonic(outcomes: &[Outcome]) -> Option<Curve> {
    let targets = targets(outcomes)?;
    let round = |x: f64, parts: f64| (x * parts).round() / parts;
    let mut points: Vec<Point> = outcomes
        .iter()
        .map(|o| Point { x: round(o.score, SCORES), y: targets[usize::from(o.positive)], weight: o.weight })
        .collect();
    points.sort_unstable_by(|a, b| a.x.total_cmp(&b.x));
    let mut knots: Vec<(f64, f64)> = Vec::new();
    for block in pool(&points) {
        let probability = round(block.mean(), PROBABILITIES).clamp(0.0, 1.0);
        match &mut knots[..] {
            // Blocks that rounding alone keeps apart go on as one.
            [.., (_, before), (last, level)] if *before == probability && *level == probability => *last = block.last,
            _ => {
                knots.push((block.first, probability));
                if block.last > block.first {
                    knots.push((block.last, probability));
                }
            }
        }
    }
    Some(Curve::Isotonic { knots })
}

#[derive(Debug, Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
    weight: f64,
}

/// Neighbouring points that share one height.
#[derive(Debug, Clone, Copy)]
struct Block {
    first: f64,
    last: f64,
    sum: f64,
    weight: f64,
}

impl Block {
    fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    fn join(&mut self, next: &Self) {
        self.last = next.last;
        self.sum += next.sum;
        self.weight += next.weight;
    }
}

/// Pools points in the order of `x` until no block is lower than the one before it. Points of one `x` are one block.
fn pool(points: &[Point]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for tied in points.chunk_by(|a, b| a.x == b.x) {
        let sum = tied.iter().map(|point| point.y * point.weight).sum();
        let weight = tied.iter().map(|point| point.weight).sum();
        let mut block = Block { first: tied[0].x, last: tied[0].x, sum, weight };
        while let Some(mut before) = blocks.pop_if(|before| before.mean() >= block.mean()) {
            before.join(&block);
            block = before;
        }
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::curve::tests_support::{outcomes, weighted};
    use super::*;
    use proptest::prelude::*;

    fn heights(values: &[(f64, f64, f64)]) -> Vec<(f64, f64, f64)> {
        let points: Vec<Point> = values.iter().map(|&(x, y, weight)| Point { x, y, weight }).collect();
        pool(&points).iter().map(|block| (block.first, block.last, block.mean())).collect()
    }

    #[test]
    fn violators_are_pooled() {
        let plain =
            [(1.0, 1.0, 1.0), (2.0, 3.0, 1.0), (3.0, 2.0, 1.0), (4.0, 4.0, 1.0), (5.0, 3.5, 1.0), (6.0, 5.0, 1.0)];
        assert_eq!(heights(&plain), [(1.0, 1.0, 1.0), (2.0, 3.0, 2.5), (4.0, 5.0, 3.75), (6.0, 6.0, 5.0)]);
        // One late zero pulls all before it down, one step after the other.
        let falling = [(1.0, 3.0, 1.0), (2.0, 4.0, 1.0), (3.0, 5.0, 1.0), (4.0, 0.0, 1.0)];
        assert_eq!(heights(&falling), [(1.0, 4.0, 3.0)]);
        assert_eq!(heights(&[(1.0, 4.0, 3.0), (2.0, 0.0, 1.0)]), [(1.0, 2.0, 3.0)]);
        assert_eq!(heights(&[(1.0, 0.0, 1.0), (1.0, 1.0, 1.0), (2.0, 1.0, 2.0)]), [(1.0, 1.0, 0.5), (2.0, 2.0, 1.0)]);
    }

    #[test]
    fn outcomes_give_smoothed_steps() {
        // Two right, two wrong: the targets are 1/4 and 3/4, and the middle two are pooled.
        let curve = isotonic(&outcomes(&[(0.8, true), (0.2, false), (0.6, false), (0.4, true)])).unwrap();
        assert_eq!(curve, Curve::Isotonic { knots: vec![(0.2, 0.25), (0.4, 0.5), (0.6, 0.5), (0.8, 0.75)] });
        assert_eq!(isotonic(&[]), None);
        assert_eq!(isotonic(&outcomes(&[(f64::NAN, true)])), None);
    }

    #[test]
    fn scores_that_run_against_the_labels_give_a_level_curve() {
        let curve = isotonic(&outcomes(&[(0.1, true), (0.9, false)])).unwrap();
        assert_eq!(curve, Curve::Isotonic { knots: vec![(0.1, 0.5), (0.9, 0.5)] });
    }

    proptest! {
        #[test]
        fn is_a_sound_curve_that_keeps_the_mean(found in weighted()) {
            let curve = isotonic(&found).unwrap();
            prop_assert_eq!(curve.flaw(), None);
            let targets = targets(&found).unwrap();
            let (mut fitted, mut wanted) = (0.0, 0.0);
            for outcome in &found {
                let probability = curve.probability(outcome.score);
                prop_assert!(probability >= targets[0] - 1e-6 && probability <= targets[1] + 1e-6);
                fitted += outcome.weight * probability;
                wanted += outcome.weight * targets[usize::from(outcome.positive)];
            }
            prop_assert!((fitted - wanted).abs() < 1e-6 * found.len() as f64);
        }

        #[test]
        fn no_other_curve_is_nearer(found in weighted(), slope in 0.0f64..8.0, intercept in -4.0f64..4.0) {
            let targets = targets(&found).unwrap();
            let distance = |curve: &Curve| -> f64 {
                let one = |o: &Outcome| (curve.probability(o.score) - targets[usize::from(o.positive)]).powi(2);
                found.iter().map(|o| o.weight * one(o)).sum()
            };
            let (best, other) = (distance(&isotonic(&found).unwrap()), distance(&Curve::Platt { slope, intercept }));
            prop_assert!(best <= other + 1e-6, "{} > {}", best, other);
        }
    }
}
