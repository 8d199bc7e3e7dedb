//! Softmax and cross-entropy over a vocabulary, from logits that are there already.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::host::{self, Values};
use super::mixed::wide;
use super::simd::{LANES, dispatched, exp, max};
use crate::{Error, Result};

dispatched! {
    /// log Σ e^x, safe for any finite x.
    pub(super) fn log_sum_exp(x: &[f32]) -> f32 {
        let largest = max(x);
        let (chunks, tail) = x.as_chunks::<LANES>();
        let mut lanes = [0f32; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += exp(chunk[lane] - largest);
            }
        }
        let mut total = 0f32;
        for x in tail {
            total += exp(x - largest);
        }
        for lane in lanes {
            total += lane;
        }
        largest + total.ln()
    }
}

dispatched! {
    /// x = e^(x − log_sum) · scale.
    pub(super) fn into_probabilities(x: &mut [f32], log_sum: f32, scale: f32) {
        for x in x {
            *x = exp(*x - log_sum) * scale;
        }
    }
}

struct CrossEntropy {
    targets: Vec<u32>,
    /// log Σ e^logit of each row, from the forward pass.
    log_sums: OnceLock<Vec<f32>>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let logits = host::slice(logits, layout)?;
        let vocabulary = logits.len() / self.targets.len();
        let log_sums: Vec<f32> = logits.par_chunks(vocabulary).map(log_sum_exp).collect();
        let rows = logits.chunks_exact(vocabulary).zip(&self.targets).zip(&log_sums);
        let total: f64 = rows.map(|((row, target), log_sum)| f64::from(log_sum - row[*target as usize])).sum();
        let mean = total / self.targets.len() as f64;
        self.log_sums.get_or_init(|| log_sums);
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let Some(log_sums) = self.log_sums.get() else {
            candle_core::bail!("expected the forward pass of cross_entropy to have run")
        };
        let scale = gradient.to_scalar::<f32>()? / self.targets.len() as f32;
        let vocabulary = logits.dim(1)?;
        let (out, _) = host::map(&Values::of(logits)?, vocabulary, |first, row| {
            let i = first / vocabulary;
            into_probabilities(row, log_sums[i], scale);
            row[self.targets[i] as usize] -= scale;
        });
        host::tensor(out, logits).map(Some)
    }
}

/// The same in candle's own operators, for devices and types without our kernels. Wide, whatever the logits are.
pub(super) fn composed(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let logits = wide(logits)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sums = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let chosen = shifted.gather(&targets.to_device(logits.device())?.unsqueeze(1)?.contiguous()?, 1)?;
    Ok((log_sums - chosen)?.mean_all()?)
}

/// The targets on the host, after checks against the number of rows and the vocabulary.
pub(super) fn checked_targets(targets: &Tensor, rows: usize, vocabulary: usize) -> Result<Vec<u32>> {
    if rows == 0 || targets.dims() != [rows] || targets.dtype() != DType::U32 {
        return Err(Error::invalid(
            "cross_entropy targets",
            format!("one u32 for each of the {rows} rows, of which there must be at least one"),
            format!("{:?} of shape {:?}", targets.dtype(), targets.dims()),
        ));
    }
    let targets = targets.to_vec1::<u32>()?;
    match targets.iter().find(|target| **target as usize >= vocabulary) {
        Some(target) => {
            Err(Error::invalid("cross_entropy target", format!("a token below the vocabulary of {vocabulary}"), target))
        }
        None => Ok(targets),
    }
}

/// The mean over rows of −log softmax(logits)\[target\], for `logits` `[n, vocabulary]` and `targets` `[n]` u32; a scalar.
///
/// # Errors
/// There are no rows, a target is not in the vocabulary, the shapes do not fit, or candle refuses.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let &[rows, vocabulary] = logits.dims() else {
        return Err(Error::invalid("cross_entropy logits", "a matrix [n, vocabulary]", format!("{:?}", logits.dims())));
    };
    if !host::serves(logits) {
        checked_targets(targets, rows, vocabulary)?;
        return composed(logits, targets);
    }
    let op = CrossEntropy { targets: checked_targets(targets, rows, vocabulary)?, log_sums: OnceLock::new() };
    Ok(logits.contiguous()?.apply_op1(op)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::model::ops::check::{assert_same, random};

    #[test]
    fn agrees_with_candle_on_odd_shapes_and_large_logits() {
        for (rows, vocabulary, scale) in [(1, 1, 1.0), (1, 7, 1.0), (5, 33, 1.0), (6, 40, 200.0), (30, 1_001, 10.0)] {
            let ids: Vec<u32> = (0..rows as u32).map(|i| i * 7 % vocabulary as u32).collect();
            let targets = Tensor::new(ids.as_slice(), &Device::Cpu).unwrap();
            assert_same(
                &[random(&[rows, vocabulary], 1, scale)],
                |t| cross_entropy(&t[0], &targets),
                |t| composed(&t[0], &targets),
            );
        }
    }

    #[test]
    fn huge_logits_neither_overflow_nor_turn_into_nan() {
        let logits = Tensor::new(&[[1e30f32, -1e30, 0.0], [-3e38, -3e38, -3e38]], &Device::Cpu).unwrap();
        let targets = Tensor::new(&[0u32, 1], &Device::Cpu).unwrap();
        let loss = cross_entropy(&logits, &targets).unwrap().to_scalar::<f32>().unwrap();
        assert!(loss.is_finite(), "{loss}");
    }

    #[test]
    fn refuses_no_rows_and_targets_out_of_the_vocabulary() {
        let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let targets = |ids: &[u32]| Tensor::new(ids, &Device::Cpu).unwrap();
        for (logits, ids) in [(zeros((0, 5)), &[][..]), (zeros((2, 5)), &[0]), (zeros((2, 5)), &[0, 5])] {
            let error = cross_entropy(&logits, &targets(ids)).unwrap_err();
            assert!(error.to_string().contains("cross_entropy target"), "{error}");
        }
    }
}
