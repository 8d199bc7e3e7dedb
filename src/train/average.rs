//! A running mean of the weights: steadier than the weights of any one step, and better on what was not trained on.

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};
use rayon::prelude::*;

use crate::Result;
use crate::model::Weights;

/// Steps between updates: neighbouring steps hardly differ, and an update reads all weights twice.
const EVERY: u64 = 8;

/// Numbers that one thread updates at a time.
const CHUNK: usize = 1 << 14;

/// The exponential running mean of the weights (Polyak and Juditsky 1992, with recent steps counting most).
#[derive(Debug)]
pub struct Average {
    weights: Weights,
    /// What a step leaves of the mean so far.
    keep: f64,
}

impl Average {
    /// A mean that starts at `weights`, which it takes for itself.
    pub fn new(weights: Weights, keep: f64) -> Self {
        Self { weights, keep }
    }

    /// The mean so far.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Moves towards `weights` as they stand after `step` steps. Early on the mean forgets faster, so that the start
    /// does not weigh more than what followed.
    ///
    /// # Errors
    /// The device fails.
    pub fn update(&mut self, weights: &Weights, step: u64) -> Result<()> {
        if !step.is_multiple_of(EVERY) {
            return Ok(());
        }
        let keep = self.keep.powi(EVERY as i32).min(step as f64 / (step + 10 * EVERY) as f64);
        for (name, mean) in self.weights.iter() {
            let now = weights.get(name)?;
            if mean.device().is_cpu() {
                mean.as_tensor().inplace_op2(&now.contiguous()?, &Move(keep as f32))?;
            } else {
                let moved: Tensor = ((mean.as_tensor() * keep)? + (now.detach() * (1.0 - keep))?)?;
                mean.set(&moved)?;
            }
        }
        Ok(())
    }
}

/// mean ← keep · mean + (1 − keep) · now, on all cores.
struct Move(f32);

impl InplaceOp2 for Move {
    fn name(&self) -> &'static str {
        "average"
    }

    fn cpu_fwd(&self, mean: &mut CpuStorage, _: &Layout, now: &CpuStorage, at: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(mean), CpuStorage::F32(now)) = (mean, now) else {
            candle_core::bail!("the mean of the weights is of f32")
        };
        let (keep, now) = (self.0, &now[at.start_offset()..][..mean.len()]);
        mean.par_chunks_mut(CHUNK).zip(now.par_chunks(CHUNK)).for_each(|(mean, now)| {
            mean.iter_mut().zip(now).for_each(|(mean, now)| *mean = keep * *mean + (1.0 - keep) * now);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::model::Config;

    #[test]
    fn the_mean_goes_towards_the_weights_and_not_past_them() {
        let config: Config = serde_json::from_value(serde_json::json!({
            "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 64,
        }))
        .unwrap();
        let weights = |seed| Weights::random(&config, seed, &Device::Cpu).unwrap();
        let (start, end) = (weights(1), weights(2));
        let mut average = Average::new(start.copy().unwrap(), 0.9);
        let gap = |average: &Average, to: &Weights| {
            let name = "embeddings.word_embeddings.weight";
            let gap = (average.weights().get(name).unwrap() - to.get(name).unwrap()).unwrap();
            gap.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
        };
        let whole = gap(&average, &end);
        average.update(&end, 7).unwrap();
        assert_eq!(gap(&average, &start), 0.0, "between two updates");
        average.update(&end, 8).unwrap();
        assert!((gap(&average, &end) / whole - 1.0 / 11.0).abs() < 1e-3, "the first step counts nearly whole");
        average.update(&end, 8_000).unwrap();
        assert!((gap(&average, &end) / whole - 0.9f32.powi(8) / 11.0).abs() < 1e-3);
    }
}
