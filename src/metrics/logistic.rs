//! Logistic regression over vectors.

use serde::{Deserialize, Serialize};

use super::curve::sigmoid;

const MOST_STEPS: usize = 100;
/// The gradient, for each row, at which the fit is good enough.
const FLAT: f64 = 1e-9;
/// A step is halved until it is as good as this share of what the gradient promises.
const SUFFICIENT: f64 = 1e-4;

/// The probability of a label at a vector: 1 / (1 + exp(−(weights · vector + bias))).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// One for each dimension.
    pub weights: Vec<f64>,
    pub bias: f64,
}

impl Logistic {
    /// The probability at `vector`, which is as wide as the weights: 0 to 1.
    pub fn probability(&self, vector: &[f32]) -> f64 {
        sigmoid(log_odds(&self.weights, self.bias, vector))
    }
}

fn log_odds(weights: &[f64], bias: f64, vector: &[f32]) -> f64 {
    weights.iter().zip(vector).map(|(w, &x)| w * f64::from(x)).sum::<f64>() + bias
}

/// The weights and the bias with the least mean log loss + `l2` / 2 · |weights|², `l2` being above 0: Newton's method
/// with backtracking, so the same rows give the same numbers. Takes rows · width² operations a step, some ten steps.
///
/// `None` without rows, where they are not all of one width and finite, or where `labels` are not as many.
pub fn logistic(rows: &[&[f32]], labels: &[bool], l2: f64) -> Option<Logistic> {
    let width = rows.first()?.len();
    let sound = |row: &&[f32]| row.len() == width && row.iter().all(|x| x.is_finite());
    if rows.len() != labels.len() || !rows.iter().all(sound) {
        return None;
    }
    let fit = Fit { rows, labels, l2, width };
    // The bias is the last parameter.
    let mut at = vec![0.0; width + 1];
    let mut loss = fit.loss(&at);
    for _ in 0..MOST_STEPS {
        let (gradient, hessian) = fit.derivatives(&at);
        if gradient.iter().all(|g| g.abs() <= FLAT) {
            break;
        }
        let Some(direction) = solved(hessian, &gradient) else { break };
        let promise: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let tries = (0..40).map(|halvings| 0.5f64.powi(halvings)).map(|step| {
            let there: Vec<f64> = at.iter().zip(&direction).map(|(a, d)| a - step * d).collect();
            (step, fit.loss(&there), there)
        });
        let mut better = tries.filter(|(step, there, _)| *there <= loss - SUFFICIENT * step * promise);
        match better.next() {
            Some((_, there, parameters)) => (loss, at) = (there, parameters),
            None => break, // no better within what f64 can tell
        }
    }
    let bias = at.pop()?;
    Some(Logistic { weights: at, bias })
}

struct Fit<'a> {
    rows: &'a [&'a [f32]],
    labels: &'a [bool],
    l2: f64,
    width: usize,
}

impl Fit<'_> {
    /// What is minimised.
    fn loss(&self, parameters: &[f64]) -> f64 {
        let (weights, bias) = (&parameters[..self.width], parameters[self.width]);
        let one = |(row, &label): (&&[f32], &bool)| {
            let z = log_odds(weights, bias, row);
            z.max(0.0) + (-z.abs()).exp().ln_1p() - if label { z } else { 0.0 }
        };
        let sum: f64 = self.rows.iter().zip(self.labels).map(one).sum();
        sum / self.rows.len() as f64 + self.l2 / 2.0 * weights.iter().map(|w| w * w).sum::<f64>()
    }

    /// The gradient, and the lower triangle of the Hessian.
    fn derivatives(&self, parameters: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let (weights, bias) = (&parameters[..self.width], parameters[self.width]);
        let share = 1.0 / self.rows.len() as f64;
        let mut gradient: Vec<f64> = weights.iter().map(|w| self.l2 * w).chain([0.0]).collect();
        let mut hessian: Vec<Vec<f64>> = (1..=self.width + 1).map(|length| vec![0.0; length]).collect();
        for (i, row) in hessian.iter_mut().enumerate() {
            // The bias is free; only rounding could make its curvature 0.
            row[i] = if i < self.width { self.l2 } else { f64::EPSILON };
        }
        for (row, &label) in self.rows.iter().zip(self.labels) {
            let p = sigmoid(log_odds(weights, bias, row));
            let (difference, curvature) = (share * (p - f64::from(u8::from(label))), share * p * (1.0 - p));
            let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).chain([1.0]).collect();
            for (i, &x) in row.iter().enumerate() {
                gradient[i] += difference * x;
                let scale = curvature * x;
                hessian[i].iter_mut().zip(&row).for_each(|(h, &y)| *h += scale * y);
            }
        }
        (gradient, hessian)
    }
}

/// x where `matrix` · x = `right`, by Cholesky's decomposition; `matrix` is the lower triangle of a symmetric one.
/// `None` where it is not positive definite.
fn solved(mut matrix: Vec<Vec<f64>>, right: &[f64]) -> Option<Vec<f64>> {
    for i in 0..matrix.len() {
        let (above, rest) = matrix.split_at_mut(i);
        let row = &mut rest[0];
        for j in 0..=i {
            let other = if j < i { &above[j] } else { &*row };
            let rest = row[j] - row[..j].iter().zip(&other[..j]).map(|(a, b)| a * b).sum::<f64>();
            row[j] = if j < i {
                rest / other[j]
            } else if rest > 0.0 {
                rest.sqrt()
            } else {
                return None;
            };
        }
    }
    let mut x = right.to_vec();
    for i in 0..x.len() {
        let known: f64 = matrix[i][..i].iter().zip(&x).map(|(a, b)| a * b).sum();
        x[i] = (x[i] - known) / matrix[i][i];
    }
    for i in (0..x.len()).rev() {
        let known: f64 = (i + 1..x.len()).map(|j| matrix[j][i] * x[j]).sum();
        x[i] = (x[i] - known) / matrix[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn fit(rows: &[Vec<f32>], labels: &[bool], l2: f64) -> Logistic {
        logistic(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), labels, l2).unwrap()
    }

    #[test]
    fn two_points_are_met_exactly() {
        // Three of four right at 1, one of four at 0: log odds ln 3 and −ln 3, where nothing holds the weight back.
        let rows = [vec![1.0], vec![0.0]].concat().repeat(4).into_iter().map(|x| vec![x]).collect::<Vec<_>>();
        let labels = [true, false, true, false, true, false, false, true];
        let found = fit(&rows, &labels, 1e-12);
        assert!((found.bias + 3f64.ln()).abs() < 1e-6 && (found.weights[0] - 2.0 * 3f64.ln()).abs() < 1e-6);
        assert!((found.probability(&[1.0]) - 0.75).abs() < 1e-6);
    }

    /// Rows, and labels that the first number decides but for noise.
    fn drawn(count: usize, width: usize) -> (Vec<Vec<f32>>, Vec<bool>) {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let rows: Vec<Vec<f32>> =
            (0..count).map(|_| (0..width).map(|_| random.random_range(-1.0..1.0)).collect()).collect();
        let labels = rows.iter().map(|row| f64::from(row[0]) + random.random_range(-0.5..0.5) > 0.2).collect();
        (rows, labels)
    }

    #[test]
    fn derivatives_are_those_of_the_loss() {
        let (rows, labels) = drawn(50, 4);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let fit = Fit { rows: &rows, labels: &labels, l2: 0.1, width: 4 };
        let (at, step) = ([0.3, -0.2, 0.1, 0.7, -0.4], 1e-5);
        let (gradient, hessian) = fit.derivatives(&at);
        let moved = |i: usize, by: f64| {
            let mut there = at;
            there[i] += by;
            there
        };
        for i in 0..5 {
            let slope = (fit.loss(&moved(i, step)) - fit.loss(&moved(i, -step))) / (2.0 * step);
            assert!((slope - gradient[i]).abs() < 1e-8, "{i}: {slope} {}", gradient[i]);
            let (up, down) = (fit.derivatives(&moved(i, step)).0, fit.derivatives(&moved(i, -step)).0);
            for j in 0..=i {
                let curvature = (up[j] - down[j]) / (2.0 * step);
                assert!((curvature - hessian[i][j]).abs() < 1e-8, "{i} {j}: {curvature} {}", hessian[i][j]);
            }
        }
    }

    #[test]
    fn what_decides_is_found_and_more_l2_means_less_weight() {
        let (rows, labels) = drawn(2000, 8);
        let found = fit(&rows, &labels, 1e-4);
        assert!(found.weights[1..].iter().all(|w| w.abs() < 0.1 * found.weights[0]), "{found:?}");
        let right = rows.iter().zip(&labels).filter(|(row, label)| (found.probability(row) > 0.5) == **label).count();
        assert!(right > 1700, "{right}");
        assert!(fit(&rows, &labels, 0.1).weights[0] < 0.5 * found.weights[0]);
        assert_eq!(found, fit(&rows, &labels, 1e-4));
    }

    #[test]
    fn labels_that_a_plane_parts_have_a_finite_fit() {
        let found = fit(&[vec![1.0, 0.0], vec![0.0, 1.0]], &[true, false], 1e-6);
        assert!(found.weights.iter().all(|w| w.is_finite()) && found.probability(&[1.0, 0.0]) > 0.99, "{found:?}");
        let level = fit(&[vec![1.0], vec![1.0]], &[true, true], 1e-2);
        assert!(level.bias.is_finite() && level.probability(&[1.0]) > 0.99, "{level:?}");
    }

    #[test]
    fn rows_that_are_none_are_refused() {
        assert_eq!(logistic(&[], &[], 1.0), None);
        assert_eq!(logistic(&[&[1.0]], &[], 1.0), None);
        assert_eq!(logistic(&[&[1.0], &[1.0, 2.0]], &[true, false], 1.0), None);
        assert_eq!(logistic(&[&[f32::NAN]], &[true], 1.0), None);
    }
}
