//! Weights to 8-bit integers: pure functions.
//!
//! A matrix is quantised by output channel, symmetrically: `w ≈ q · scale`, `|q| ≤ 127`, one scale for each channel.
//!
//! Processors without VNNI multiply u8 by i8 and add two neighbouring products in 16 bits, which saturate
//! (`vpmaddubsw`): 255 · 127 · 2 is past 32,767. So a channel's scale is such that no two neighbours can get there,
//! which costs less than the usual way out, 7-bit weights: only two large neighbours of one sign make it coarser.

use crate::{Error, Result};

/// Largest sum of two neighbouring weights of one sign. Rounding may add half to each, and 255 · 128 fits into 16 bits.
const LARGEST: f32 = 127.0;
/// How much of the spread of the activations goes over into the weights; the default of SmoothQuant (Xiao et al.,
/// 2022, arXiv 2211.10438, equation 4).
const MIGRATION: f32 = 0.5;
/// Least size that is told apart from zero, as a share of the largest: a channel that calibration never saw alive must
/// not be blown up without bound.
const LEAST_SHARE: f32 = 1e-3;

/// A matrix of output channels, `[out, in]`, in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    /// `[out, in]`.
    pub values: Vec<i8>,
    /// `[out]`, each above 0.
    pub scales: Vec<f32>,
}

/// Quantises `weights`, `[out, width]`.
///
/// # Errors
/// `width` does not divide the matrix, or a number is not finite.
pub fn quantise(weights: &[f32], width: usize) -> Result<Quantised> {
    if width == 0 || !weights.len().is_multiple_of(width) {
        return Err(Error::invalid("matrix to quantise", format!("rows of {width} numbers"), weights.len()));
    }
    if let Some(bad) = weights.iter().find(|weight| !weight.is_finite()) {
        return Err(Error::invalid("matrix to quantise", "finite numbers", bad));
    }
    let scales: Vec<f32> = weights.chunks_exact(width).map(scale).collect();
    let rows = weights.chunks_exact(width).zip(&scales);
    let values = rows.flat_map(|(row, scale)| row.iter().map(move |weight| (weight / scale).round() as i8)).collect();
    Ok(Quantised { values, scales })
}

/// The step of one output channel; 1 for a channel of zeros.
fn scale(row: &[f32]) -> f32 {
    let sum = |pair: &[f32], sign: f32| pair.iter().map(|weight| (weight * sign).max(0.0)).sum::<f32>();
    let largest = row.chunks(2).map(|pair| sum(pair, 1.0).max(sum(pair, -1.0))).fold(0.0, f32::max);
    let scale = largest / LARGEST;
    // A channel of numbers next to the smallest that f32 has would divide by zero.
    if scale >= f32::MIN_POSITIVE { scale } else { 1.0 }
}

/// What to divide each input channel by, and its weights to multiply by, so that large activations do not drown the
/// others in their row: `activationᵐ / weight¹⁻ᵐ`, geometric mean 1. `activations` and `weights` are the largest sizes
/// of each input channel.
pub fn balance(activations: &[f32], weights: &[f32]) -> Vec<f32> {
    let floor = |sizes: &[f32]| {
        let largest = sizes.iter().copied().fold(0.0, f32::max);
        if largest > 0.0 && largest.is_finite() { largest * LEAST_SHARE } else { 1.0 }
    };
    let (least_activation, least_weight) = (floor(activations), floor(weights));
    let logarithms: Vec<f32> = activations
        .iter()
        .zip(weights)
        .map(|(x, w)| MIGRATION * x.max(least_activation).ln() - (1.0 - MIGRATION) * w.max(least_weight).ln())
        .collect();
    let mean = logarithms.iter().sum::<f32>() / logarithms.len().max(1) as f32;
    logarithms.iter().map(|logarithm| (logarithm - mean).exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two neighbours as `vpmaddubsw` adds them.
    fn saturates(row: &[i8]) -> bool {
        let largest = |pair: &[i8], sign: i32| 255 * pair.iter().map(|&q| (i32::from(q) * sign).max(0)).sum::<i32>();
        row.chunks(2).any(|pair| largest(pair, 1) > i32::from(i16::MAX) || largest(pair, -1) > 32_768)
    }

    proptest! {
        #[test]
        fn a_number_comes_back_within_half_a_step(rows in prop::collection::vec(-3.0_f32..3.0, 7 * 4..=7 * 4)) {
            let found = quantise(&rows, 7).unwrap();
            for (i, (weight, q)) in rows.iter().zip(&found.values).enumerate() {
                let scale = found.scales[i / 7];
                prop_assert!((weight - f32::from(*q) * scale).abs() <= 0.5001 * scale, "{weight} {q} {scale}");
            }
        }

        #[test]
        fn no_neighbours_saturate(row in prop::collection::vec(-1.0_f32..1.0, 1..40), skew in 0.0_f32..1.0) {
            let row: Vec<f32> = row.iter().map(|weight| weight + skew).collect();
            let found = quantise(&row, row.len()).unwrap();
            prop_assert!(!saturates(&found.values), "{:?}", found.values);
        }
    }

    #[test]
    fn plain_8_bits_would_saturate() {
        assert!(saturates(&[127, 127]) && !saturates(&[64, 64]) && !saturates(&[127, -127]));
    }

    #[test]
    fn each_channel_has_its_own_scale() {
        let found = quantise(&[1.0, -1.0, 0.0, 100.0, -100.0, 0.0], 3).unwrap();
        assert_eq!(found.values, [127, -127, 0, 127, -127, 0]);
        assert_eq!(found.scales, [1.0 / 127.0, 100.0 / 127.0]);
    }

    #[test]
    fn a_channel_of_zeros_stays_one() {
        let found = quantise(&[0.0, 0.0, 1e-45, 0.0], 2).unwrap();
        assert_eq!(found, Quantised { values: vec![0; 4], scales: vec![1.0, 1.0] });
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(quantise(&[1.0, bad], 2).unwrap_err().to_string().contains("finite"));
        }
        assert!(quantise(&[1.0; 3], 2).is_err());
        assert!(quantise(&[1.0; 3], 0).is_err());
    }

    #[test]
    fn balance_divides_loud_channels_more() {
        let found = balance(&[1.0, 100.0, 1.0], &[1.0, 1.0, 1.0]);
        assert!(found[1] > 9.0 * found[0] && found[0] == found[2], "{found:?}");
        let product: f32 = found.iter().product();
        assert!((product - 1.0).abs() < 1e-5);
    }

    #[test]
    fn balance_is_finite_for_dead_channels() {
        for (x, w) in [([0.0, 0.0], [0.0, 0.0]), ([0.0, 5.0], [0.0, 2.0]), ([1e30, 0.0], [0.0, 1e-30])] {
            assert!(balance(&x, &w).iter().all(|s| s.is_finite() && *s > 0.0), "{x:?} {w:?}");
        }
    }
}
