//! Rank correlation.

/// Spearman's ρ: Pearson's correlation of the ranks, equal values sharing the mean of their ranks. −1 to 1.
/// Only the order of each side counts. Source: C. Spearman, “The proof and measurement of association between
/// two things”, 1904; the same number as SciPy's `spearmanr`.
///
/// `None` where it is undefined: fewer than two values, sides of unequal lengths, a value that is no number, or a
/// side whose values are all equal.
pub fn spearman<A, B>(a: &[A], b: &[B]) -> Option<f64>
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    if a.len() != b.len() || a.len() < 2 {
        return None;
    }
    pearson(&ranks(a)?, &ranks(b)?)
}

/// Ranks from 1, ties averaged; `None` if a value is no number.
fn ranks<T: Copy + Into<f64>>(values: &[T]) -> Option<Vec<f64>> {
    let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    // `==` and not `total_cmp` decides what is tied, so that 0.0 and −0.0, neighbours in the order, are.
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let mean = first as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&i| ranks[i] = mean);
        first += tied.len();
    }
    Some(ranks)
}

/// Pearson's r of two sides of equal length; `None` if one does not vary.
fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a).powi(2);
        bb += (y - mean_b).powi(2);
    }
    (aa > 0.0 && bb > 0.0).then(|| (ab / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_scipy() {
        // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) and ([.1, .4, .4, .9], [0, 1, 0, 1])
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap();
        assert!((rho - 0.820_782_681_668_123_3).abs() < 1e-12, "{rho}");
        let rho = spearman(&[0.1_f32, 0.4, 0.4, 0.9], &[0.0_f32, 1.0, 0.0, 1.0]).unwrap();
        assert!((rho - 0.707_106_781_186_547_5).abs() < 1e-12, "{rho}");
    }

    #[test]
    fn ties_share_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 3.0, 2.0]), Some(vec![4.0, 1.0, 4.0, 4.0, 2.0]));
        assert_eq!(ranks(&[0.0, -0.0, 1.0]), Some(vec![1.5, 1.5, 3.0]));
    }

    #[test]
    fn is_undefined_without_variation_or_numbers() {
        assert_eq!(spearman(&[1.0], &[1.0]), None);
        assert_eq!(spearman::<f64, f64>(&[], &[]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, 3.0]), None);
    }

    /// Sides with many ties, and a way to shuffle them together.
    fn sides() -> impl Strategy<Value = Vec<(i16, i16, u32)>> {
        prop::collection::vec((-4i16..4, -4i16..4, any::<u32>()), 2..60)
    }

    proptest! {
        #[test]
        fn stays_in_bounds_and_ignores_the_order_of_the_pairs(mut pairs in sides()) {
            let rho = |pairs: &[(i16, i16, u32)]| {
                let (a, b): (Vec<i16>, Vec<i16>) = pairs.iter().map(|&(a, b, _)| (a, b)).unzip();
                spearman(&a, &b)
            };
            let before = rho(&pairs);
            pairs.sort_by_key(|&(_, _, key)| key);
            match (before, rho(&pairs)) {
                (Some(x), Some(y)) => {
                    prop_assert!((-1.0..=1.0).contains(&x));
                    prop_assert!((x - y).abs() < 1e-9);
                }
                (x, y) => prop_assert_eq!(x, y),
            }
        }

        #[test]
        fn sees_only_the_order_of_each_side(pairs in sides()) {
            let a: Vec<f64> = pairs.iter().map(|pair| pair.0.into()).collect();
            let b: Vec<f64> = pairs.iter().map(|pair| pair.1.into()).collect();
            let stretched: Vec<f64> = a.iter().map(|x| x.exp() * 7.0 - 3.0).collect();
            let turned: Vec<f64> = a.iter().map(|x| -x).collect();
            if let Some(rho) = spearman(&a, &b) {
                prop_assert_eq!(Some(rho), spearman(&stretched, &b));
                prop_assert!((rho + spearman(&turned, &b).unwrap()).abs() < 1e-9);
                prop_assert!((spearman(&a, &a).unwrap() - 1.0).abs() < 1e-9);
            }
        }
    }
}
