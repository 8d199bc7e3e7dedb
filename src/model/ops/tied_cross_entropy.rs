//! Cross-entropy of the language-model head, whose weight is the embedding table, without ever holding all logits.

use parking_lot::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::cross_entropy::{checked_targets, composed, into_probabilities, log_sum_exp};
use super::host;
use super::linear::column_sums;
use super::matmul::{Matrix, Right, Start};
use super::mixed;
use super::simd::{accumulate, dispatched};
use crate::model::Compute;
use crate::{Error, Result};

/// Rows whose logits are held at a time: at a vocabulary of 18,000 some 18 MB, and few enough passes over the gradient
/// of the table.
const CHUNK: usize = 256;

dispatched! {
    fn scale(values: &mut [f32], factor: f32) {
        for value in values {
            *value *= factor;
        }
    }
}

dispatched! {
    fn add(values: &[f32], total: &mut [f32]) {
        accumulate(total, values);
    }
}

/// Gradients for a loss gradient of 1.
struct Gradients {
    hidden: Vec<f32>,
    embedding: Vec<f32>,
    bias: Vec<f32>,
}

struct TiedCrossEntropy {
    targets: Vec<u32>,
    compute: Compute,
    /// Whether a backward pass may follow. The gradients are then computed at once, while the logits are at hand.
    with_gradients: bool,
    gradients: Mutex<Option<Gradients>>,
}

impl TiedCrossEntropy {
    /// The mean loss, and the gradients if they are wanted.
    fn run(&self, hidden: &[f32], embedding: &[f32], bias: &[f32]) -> (f64, Option<Gradients>) {
        let (rows, vocabulary) = (self.targets.len(), bias.len());
        let width = hidden.len() / rows;
        let table = Matrix::new(embedding, vocabulary, width);
        // Made ready once for all chunks.
        let (to_logits, to_states) =
            (Right::new(table.t(), self.compute), self.with_gradients.then(|| Right::new(table, self.compute)));
        let mut gradients = self.with_gradients.then(|| Gradients {
            hidden: Vec::with_capacity(hidden.len()),
            embedding: Vec::new(),
            bias: vec![0f32; vocabulary],
        });
        let mut logits = Vec::new();
        let mut total = 0f64;
        let share = 1.0 / rows as f32;
        for (targets, states) in self.targets.chunks(CHUNK).zip(hidden.chunks(CHUNK * width)) {
            let states = Matrix::new(states, targets.len(), width);
            to_logits.product_into(states, Start::Row(bias), self.compute, &mut logits);
            let losses: Vec<f64> = logits
                .par_chunks_mut(vocabulary)
                .zip(targets)
                .map(|(row, target)| {
                    let log_sum = log_sum_exp(row);
                    let loss = f64::from(log_sum - row[*target as usize]);
                    if self.with_gradients {
                        into_probabilities(row, log_sum, share);
                        row[*target as usize] -= share;
                    }
                    loss
                })
                .collect();
            total += losses.iter().sum::<f64>();
            if let (Some(gradients), Some(to_states)) = (&mut gradients, &to_states) {
                let d_logits = Matrix::new(&logits, targets.len(), vocabulary);
                gradients.hidden.extend_from_slice(&to_states.product(d_logits, Start::Zero, self.compute));
                let start = if gradients.embedding.is_empty() { Start::Zero } else { Start::Output };
                let states = Right::new(states, self.compute);
                states.product_into(d_logits.t(), start, self.compute, &mut gradients.embedding);
                add(&column_sums(&logits, vocabulary), &mut gradients.bias);
            }
        }
        (total / rows as f64, gradients)
    }
}

impl CustomOp3 for TiedCrossEntropy {
    fn name(&self) -> &'static str {
        "tied_cross_entropy"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        embedding: &CpuStorage,
        embedding_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (mean, gradients) = self.run(
            host::slice(hidden, hidden_layout)?,
            host::slice(embedding, embedding_layout)?,
            host::slice(bias, bias_layout)?,
        );
        *self.gradients.lock() = gradients;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        embedding: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let kept = self.gradients.lock().take();
        // A second backward pass over one loss computes them again.
        let again = || {
            let values = (host::Values::of(hidden)?, host::Values::of(embedding)?, host::Values::of(bias)?);
            Ok::<_, candle_core::Error>(self.run(&values.0, &values.1, &values.2).1)
        };
        let kept = match kept {
            Some(kept) => Some(kept),
            None => again()?,
        };
        let Some(mut gradients) = kept else {
            candle_core::bail!("expected tied_cross_entropy to have been called with a tracked tensor")
        };
        let factor = gradient.to_scalar::<f32>()?;
        if factor != 1.0 {
            let all = [&mut gradients.hidden, &mut gradients.embedding, &mut gradients.bias];
            for values in all {
                values.par_chunks_mut(host::rows_per_task(1)).for_each(|values| scale(values, factor));
            }
        }
        Ok((
            Some(host::tensor(gradients.hidden, hidden)?),
            Some(host::tensor(gradients.embedding, embedding)?),
            Some(host::tensor(gradients.bias, bias)?),
        ))
    }
}

/// `cross_entropy(hidden · embeddingᵀ + bias, targets)` for `hidden` `[n, h]`, `embedding` `[vocabulary, h]`, `bias`
/// `[vocabulary]` and `targets` `[n]` u32; a scalar.
///
/// # Errors
/// There are no rows, a target is not in the vocabulary, the shapes do not fit, or candle refuses.
pub fn tied_cross_entropy(
    hidden: &Tensor,
    embedding: &Tensor,
    bias: &Tensor,
    targets: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    let (&[rows, width], &[vocabulary, table_width]) = (hidden.dims(), embedding.dims()) else {
        return Err(shapes(hidden, embedding, bias));
    };
    if width != table_width || width == 0 || bias.dims() != [vocabulary] {
        return Err(shapes(hidden, embedding, bias));
    }
    let checked = checked_targets(targets, rows, vocabulary)?;
    if !host::serves(hidden) {
        return composed(&mixed::product(hidden, embedding)?.broadcast_add(bias)?, targets);
    }
    let op = TiedCrossEntropy {
        targets: checked,
        compute,
        with_gradients: [hidden, embedding, bias].iter().any(|tensor| tensor.track_op()),
        gradients: Mutex::new(None),
    };
    Ok(hidden.contiguous()?.apply_op3(&embedding.contiguous()?, &bias.contiguous()?, op)?)
}

fn shapes(hidden: &Tensor, embedding: &Tensor, bias: &Tensor) -> Error {
    Error::invalid(
        "tied_cross_entropy shapes",
        "hidden [n, h], embedding [vocabulary, h] and bias [vocabulary], with h at least 1",
        format!("{:?}, {:?} and {:?}", hidden.dims(), embedding.dims(), bias.dims()),
    )
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::model::ops::check::{assert_same, random};

    #[test]
    fn agrees_with_candle_on_odd_shapes_and_several_chunks() {
        for (rows, width, vocabulary, scale) in
            [(1, 1, 1, 1.0), (1, 7, 5, 1.0), (4, 7, 9, 20.0), (2, 33, 11, 1.0), (2 * CHUNK + 3, 33, 101, 1.0)]
        {
            let ids: Vec<u32> = (0..rows as u32).map(|i| i * 7 % vocabulary as u32).collect();
            let targets = Tensor::new(ids.as_slice(), &Device::Cpu).unwrap();
            assert_same(
                &[
                    random(&[rows, width], 1, scale),
                    random(&[vocabulary, width], 2, 1.0),
                    random(&[vocabulary], 3, 1.0),
                ],
                |t| tied_cross_entropy(&t[0], &t[1], &t[2], &targets, Compute::F32),
                |t| composed(&t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2])?, &targets),
            );
        }
    }

    #[test]
    fn a_second_backward_pass_gives_the_same_gradients() {
        let f32s = |shape: &[usize]| random(shape, 1, 1.0).to_dtype(DType::F32).unwrap();
        let hidden = candle_core::Var::from_tensor(&f32s(&[3, 4])).unwrap();
        let targets = Tensor::new(&[0u32, 4, 2], &Device::Cpu).unwrap();
        let loss = tied_cross_entropy(&hidden, &f32s(&[5, 4]), &f32s(&[5]), &targets, Compute::F32).unwrap();
        let gradient = || loss.backward().unwrap().get(&hidden).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(gradient(), gradient());
    }

    #[test]
    fn works_without_gradients_and_refuses_wrong_shapes() {
        let f32s = |shape: &[usize]| random(shape, 1, 1.0).to_dtype(DType::F32).unwrap();
        let targets = |ids: &[u32]| Tensor::new(ids, &Device::Cpu).unwrap();
        let loss =
            tied_cross_entropy(&f32s(&[2, 3]), &f32s(&[5, 3]), &f32s(&[5]), &targets(&[0, 4]), Compute::F32).unwrap();
        assert!(loss.to_scalar::<f32>().unwrap().is_finite());
        let error = tied_cross_entropy(&f32s(&[2, 3]), &f32s(&[5, 2]), &f32s(&[5]), &targets(&[0, 4]), Compute::F32)
            .unwrap_err();
        assert!(error.to_string().contains("tied_cross_entropy shapes"), "{error}");
        let error =
            tied_cross_entropy(&f32s(&[0, 3]), &f32s(&[5, 3]), &f32s(&[5]), &targets(&[]), Compute::F32).unwrap_err();
        assert!(error.to_string().contains("at least one"), "{error}");
    }
}
