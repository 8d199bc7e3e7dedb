//! The two directions in which vectors differ most.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::check;
use crate::{Error, Result};

/// Rounds of the iteration at most. It converges as the ratio of the third eigenvalue to the second, and points that
/// only begin here need not be exact.
const ROUNDS: usize = 50;
/// A round that turns both directions by less than this (1 − cosine) is the last.
const STILL: f64 = 1e-9;

/// Where vectors lie by their two principal components.
pub(super) struct Principal {
    /// A point for each vector, the mean of all at 0.
    pub points: Vec<[f64; 2]>,
    /// The share of the variance that these components have, 0 to 1; 0 where there is none.
    pub variance: f64,
}

/// Finds both at once by orthogonal iteration: Golub and Van Loan, “Matrix Computations”, section 7.3.2. A direction
/// points to where its largest component is positive.
///
/// # Errors
/// The vectors are of several widths, or `go_on` said no.
pub(super) fn components(vectors: &[Vec<f32>], seed: u64, go_on: &dyn Fn() -> bool) -> Result<Principal> {
    let dimension = vectors.first().map_or(0, Vec::len);
    if let Some(other) = vectors.iter().find(|vector| vector.len() != dimension) {
        return Err(Error::invalid("vectors", format!("{dimension} components each"), other.len()));
    }
    let mut mean = vec![0.0; dimension];
    for vector in vectors {
        mean.iter_mut().zip(vector).for_each(|(mean, &x)| *mean += f64::from(x) / vectors.len() as f64);
    }
    let place = |vector: &[f32], axes: &[Vec<f64>; 2]| {
        let along =
            |axis: &Vec<f64>| vector.iter().zip(&mean).zip(axis).map(|((&x, m), a)| (f64::from(x) - m) * a).sum();
        [along(&axes[0]), along(&axes[1])]
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut axes = [0, 1].map(|_| (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect::<Vec<f64>>());
    orthonormalise(&mut axes);
    for _ in 0..ROUNDS {
        check(go_on)?;
        let mut turned = [vec![0.0; dimension], vec![0.0; dimension]];
        for vector in vectors {
            let at = place(vector, &axes);
            for (turned, at) in turned.iter_mut().zip(at) {
                turned.iter_mut().zip(vector).zip(&mean).for_each(|((t, &x), m)| *t += at * (f64::from(x) - m));
            }
        }
        orthonormalise(&mut turned);
        let still = axes.iter().zip(&turned).all(|(a, b)| 1.0 - dot(a, b).abs() < STILL);
        axes = turned;
        if still {
            break;
        }
    }
    for axis in &mut axes {
        let largest = axis.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or_default();
        axis.iter_mut().for_each(|x| *x *= largest.signum());
    }
    let points: Vec<[f64; 2]> = vectors.iter().map(|vector| place(vector, &axes)).collect();
    let squares = |vector: &Vec<f32>| vector.iter().zip(&mean).map(|(&x, m)| (f64::from(x) - m).powi(2)).sum::<f64>();
    let (all, kept) = (vectors.iter().map(squares).sum::<f64>(), points.iter().flatten().map(|x| x * x).sum::<f64>());
    // Equal vectors differ by rounding alone.
    let variance = if all > 1e-9 * vectors.len() as f64 { (kept / all).min(1.0) } else { 0.0 };
    let points = if variance > 0.0 { points } else { vec![[0.0; 2]; vectors.len()] };
    Ok(Principal { points, variance })
}

/// Gives both length 1, and the second no part of the first; one without a length stays zero.
fn orthonormalise([first, second]: &mut [Vec<f64>; 2]) {
    normalise(first);
    let shared = dot(first, second);
    second.iter_mut().zip(&*first).for_each(|(b, a)| *b -= shared * a);
    normalise(second);
}

fn normalise(axis: &mut [f64]) {
    let length = dot(axis, axis).sqrt();
    axis.iter_mut().for_each(|x| *x = if length > 1e-12 { *x / length } else { 0.0 });
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axes_of_a_flat_cloud_are_found() {
        // Wide along (3, 4, 0) / 5, less so along (4, −3, 0) / 5, and hardly along the third.
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut draw = |width: f64| random.random_range(-width..width);
        let rows: Vec<[f64; 3]> = (0..500).map(|_| [draw(4.0), draw(1.0), draw(0.05)]).collect();
        let vector = |&[a, b, c]: &[f64; 3]| [0.6 * a + 0.8 * b, 0.8 * a - 0.6 * b, c + 2.0].map(|x| x as f32).to_vec();
        let vectors: Vec<Vec<f32>> = rows.iter().map(vector).collect();
        let found = components(&vectors, 1, &|| true).unwrap();
        assert!(found.variance > 0.999 && found.variance <= 1.0, "{}", found.variance);
        let middle = [0, 1].map(|axis| rows.iter().map(|row| row[axis]).sum::<f64>() / 500.0);
        for (row, point) in rows.iter().zip(&found.points) {
            assert!((point[0] - (row[0] - middle[0])).abs() < 0.1, "{row:?} at {point:?}");
            assert!((point[1].abs() - (row[1] - middle[1]).abs()).abs() < 0.2, "{row:?} at {point:?}");
        }
    }

    #[test]
    fn a_cloud_of_one_dimension_has_no_second() {
        let vectors: Vec<Vec<f32>> = (0..9).map(|i| vec![i as f32, 2.0 * i as f32]).collect();
        let found = components(&vectors, 1, &|| true).unwrap();
        assert!((found.variance - 1.0).abs() < 1e-9);
        assert!(found.points.iter().all(|point| point[1].abs() < 1e-6));
    }
}
