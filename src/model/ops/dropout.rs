//! Dropout whose mask is a hash of (seed, position): nothing to store, the same on every device and thread count.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::host::{self, Values};
use super::mixed::wide;
use super::simd::dispatched;
use crate::{Error, Result};

/// Positions that a task of parallel work hashes.
const MASK_TASK: usize = 1 << 16;

/// Which numbers survive, and what they are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask {
    keys: [u32; 2],
    /// A hash below this is dropped: probability · 2³².
    threshold: u32,
    scale: f32,
}

impl Mask {
    /// # Errors
    /// The probability is not in 0 ≤ p < 1.
    pub(super) fn new(probability: f64, seed: u64) -> Result<Self> {
        if !(0.0..1.0).contains(&probability) {
            return Err(Error::invalid("dropout probability", "at least 0 and below 1", probability));
        }
        let mixed = split_mix(seed);
        Ok(Self {
            keys: [mixed as u32, (mixed >> 32) as u32],
            threshold: (probability * 4_294_967_296.0) as u32,
            scale: (1.0 / (1.0 - probability)) as f32,
        })
    }

    /// Whether every number survives.
    pub(super) fn is_identity(&self) -> bool {
        self.threshold == 0
    }

    /// 0 for a dropped number, 1 / (1 − p) for one that survives. Positions count from 0, modulo 2³².
    #[inline(always)]
    pub(super) fn factor(self, position: u32) -> f32 {
        // The finaliser of MurmurHash3, keyed before and between its rounds.
        let mut h = position.wrapping_mul(0x9e37_79b9) ^ self.keys[0];
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_add(self.keys[1]).wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        if h >= self.threshold { self.scale } else { 0.0 }
    }
}

/// The output step of SplitMix64 (Steele et al., 2014): neighbouring seeds give unrelated keys.
fn split_mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

dispatched! {
    /// values = values · mask, where `first` is the position of the first number.
    fn drop_values(values: &mut [f32], mask: Mask, first: u32) {
        for (i, value) in values.iter_mut().enumerate() {
            *value *= mask.factor(first.wrapping_add(i as u32));
        }
    }
}

/// x · mask, in parallel.
pub(super) fn apply(x: &[f32], mask: Mask) -> Vec<f32> {
    host::map(x, host::rows_per_task(1), |first, values| drop_values(values, mask, first as u32)).0
}

struct Dropout(Mask);

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = apply(host::slice(storage, layout)?, self.0);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let out = apply(&Values::of(&gradient)?, self.0);
        host::tensor(out, &gradient).map(Some)
    }
}

/// x · mask in candle's own operators, for devices and types without our kernels. Wide, whatever `x` is.
pub(super) fn masked(x: &Tensor, mask: Mask) -> Result<Tensor> {
    let x = wide(x)?;
    // A byte for each number: the mask is made here and has a way to go to the device.
    let mut kept = vec![0u8; x.elem_count()];
    kept.par_chunks_mut(MASK_TASK).enumerate().for_each(|(task, kept)| {
        for (i, kept) in kept.iter_mut().enumerate() {
            *kept = u8::from(mask.factor((task * MASK_TASK + i) as u32) != 0.0);
        }
    });
    let kept = Tensor::from_vec(kept, x.shape(), x.device())?.to_dtype(x.dtype())?;
    Ok((x * (kept * f64::from(mask.scale))?)?)
}

/// Zeroes each number of `x` with the given probability and scales the rest by 1 / (1 − p).
///
/// The mask depends on the seed and the position alone. Probability 0 returns `x`.
///
/// # Errors
/// The probability is not in 0 ≤ p < 1, or candle refuses.
pub fn dropout(x: &Tensor, probability: f64, seed: u64) -> Result<Tensor> {
    let mask = Mask::new(probability, seed)?;
    if mask.is_identity() {
        return Ok(x.clone());
    }
    if host::serves(x) {
        return Ok(x.contiguous()?.apply_op1(Dropout(mask))?);
    }
    Ok(masked(x, mask)?.to_dtype(x.dtype())?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::model::ops::check::{assert_same, random};

    #[test]
    fn agrees_with_the_mask_tensor() {
        for shape in [vec![1, 1], vec![7, 33], vec![130, 300]] {
            assert_same(&[random(&shape, 1, 1.0)], |x| dropout(&x[0], 0.3, 9), |x| masked(&x[0], Mask::new(0.3, 9)?));
        }
    }

    #[test]
    fn drops_the_asked_share_and_keeps_the_mean() {
        let x = Tensor::ones(1_000_000, DType::F32, &Device::Cpu).unwrap();
        for (probability, seed) in [(0.1, 1), (0.5, 2), (0.9, u64::MAX)] {
            let out = dropout(&x, probability, seed).unwrap().to_vec1::<f32>().unwrap();
            let dropped = out.iter().filter(|v| **v == 0.0).count() as f64 / 1e6;
            assert!((dropped - probability).abs() < 2e-3, "dropped {dropped} of {probability}");
            let mean = out.iter().map(|v| f64::from(*v)).sum::<f64>() / 1e6;
            assert!((mean - 1.0).abs() < 0.02, "mean {mean} at {probability}");
        }
    }

    #[test]
    fn seeds_give_independent_masks_and_one_seed_gives_one() {
        let x = Tensor::ones(100_000, DType::F32, &Device::Cpu).unwrap();
        let run = |seed| dropout(&x, 0.5, seed).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(run(5), run(5));
        let agree = run(5).iter().zip(run(6)).filter(|(a, b)| **a == *b).count();
        assert!((49_000..51_000).contains(&agree), "{agree} of 100000 agree");
    }

    #[test]
    fn probability_zero_returns_the_input_and_one_is_refused() {
        let x = random(&[3, 4], 1, 1.0);
        assert_eq!(dropout(&x, 0.0, 1).unwrap().id(), x.id());
        for probability in [1.0, -0.1, f64::NAN] {
            assert!(dropout(&x, probability, 1).unwrap_err().to_string().contains("dropout probability"));
        }
    }
}
