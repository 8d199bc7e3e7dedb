//! Two operators in one, where the numbers in between are the widest of a layer.
//!
//! candle zeroes and adds a gradient for every tensor of its graph, on top of what the operators do. Kept inside one
//! operator, the queries, keys and values and the activations of the feed-forward network need none.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use super::attention::{self, AttentionLayout};
use super::host::{self, Values};
use super::{gelu, linear, mixed};
use crate::Result;
use crate::model::Compute;

/// What follows the product with the weight.
enum Step {
    /// Adds the bias and activates.
    BiasGelu,
    /// Attends; the product includes the bias.
    Attention(AttentionLayout),
}

struct Block {
    step: Step,
    compute: Compute,
    /// Whether a backward pass may follow.
    tracked: bool,
    /// The product with the weight, for the backward pass.
    product: OnceLock<Vec<f32>>,
}

impl Block {
    fn apply(step: Step, x: &Tensor, weight: &Tensor, bias: &Tensor, compute: Compute) -> Result<Tensor> {
        let tracked = [x, weight, bias].iter().any(|tensor| tensor.track_op());
        let op = Self { step, compute, tracked, product: OnceLock::new() };
        Ok(x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?)
    }
}

impl CustomOp3 for Block {
    fn name(&self) -> &'static str {
        match self.step {
            Step::BiasGelu => "linear_gelu",
            Step::Attention(_) => "self_attention",
        }
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (outputs, inputs) = weight_layout.shape().dims2()?;
        let (x, weight) = (host::slice(x, x_layout)?, host::slice(weight, weight_layout)?);
        let bias = host::slice(bias, bias_layout)?;
        let (product, out, width) = match &self.step {
            Step::BiasGelu => {
                let product = linear::forward(x, weight, (outputs, inputs), self.compute);
                let out = gelu::forward_biased(&product, bias);
                (product, out, outputs)
            }
            Step::Attention(layout) => {
                let product = linear::forward_biased(x, weight, bias, inputs, self.compute);
                let out = attention::forward(&product, layout, outputs / 3);
                (product, out, outputs / 3)
            }
        };
        if self.tracked {
            self.product.get_or_init(|| product);
        }
        Ok((CpuStorage::F32(out), linear::output_shape(x_layout, width)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(product) = self.product.get() else {
            candle_core::bail!("expected the forward pass of {} to have run on a tracked tensor", self.name())
        };
        let gradient = gradient.contiguous()?;
        let gradient = Values::of(&gradient)?;
        let (d_product, d_bias) = match &self.step {
            Step::BiasGelu => gelu::backward_biased(product, &Values::of(bias)?, &gradient),
            Step::Attention(layout) => {
                let outputs = bias.elem_count();
                let d_product = attention::backward(product, &gradient, layout, outputs / 3);
                let d_bias = linear::column_sums(&d_product, outputs);
                (d_product, d_bias)
            }
        };
        let (d_x, d_weight) = linear::backward(x, weight, &d_product, self.compute)?;
        Ok((d_x, d_weight, Some(host::tensor(d_bias, bias)?)))
    }
}

/// `bias_gelu(project(x, weight), bias)` for `x` `[.., in]`, `weight` `[out, in]` and `bias` `[out]`; returns `[.., out]`.
///
/// # Errors
/// The shapes do not fit, or candle refuses.
pub fn linear_gelu(x: &Tensor, weight: &Tensor, bias: &Tensor, compute: Compute) -> Result<Tensor> {
    linear::check(x, weight, Some(bias))?;
    if host::serves(x) {
        return Block::apply(Step::BiasGelu, x, weight, bias, compute);
    }
    Ok(mixed::product(x, weight)?.broadcast_add(bias)?.gelu_erf()?.to_dtype(x.dtype())?)
}

/// `attention(linear(x, weight, bias), layout)` for `x` [tokens, in], `weight` [3 · hidden, in] and `bias` [3 · hidden], whose
/// rows are queries, keys and values; returns [tokens, hidden].
///
/// # Errors
/// The shapes do not fit each other or the layout, or candle refuses.
pub fn self_attention(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    layout: &AttentionLayout,
    compute: Compute,
) -> Result<Tensor> {
    linear::check(x, weight, Some(bias))?;
    attention::check(&x.dims()[..x.rank() - 1], bias.elem_count(), layout)?;
    if host::serves(x) {
        return Block::apply(Step::Attention(layout.clone()), x, weight, bias, compute);
    }
    attention::attention(&linear::linear(x, weight, bias, compute)?, layout)
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::model::ops::check::{assert_same, random};

    #[test]
    fn linear_gelu_agrees_with_candle() {
        for (rows, inputs, outputs) in [(1, 1, 1), (5, 7, 9), (3, 33, 5), (100, 65, 130)] {
            let tensors =
                [random(&[rows, inputs], 1, 1.0), random(&[outputs, inputs], 2, 1.0), random(&[outputs], 3, 1.0)];
            assert_same(
                &tensors,
                |t| linear_gelu(&t[0], &t[1], &t[2], Compute::F32),
                |t| Ok(t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2])?.gelu_erf()?),
            );
        }
    }

    #[test]
    fn self_attention_agrees_with_candle() {
        for (heads, head, inputs) in [(1, 1, 2), (2, 3, 5), (3, 17, 33)] {
            let layout = AttentionLayout::new(vec![0, 5, 6, 9], vec![2, 1, 0], heads).unwrap();
            let outputs = 3 * heads * head;
            let tensors =
                [random(&[9, inputs], 1, 1.0), random(&[outputs, inputs], 2, 0.5), random(&[outputs], 3, 1.0)];
            assert_same(
                &tensors,
                |t| self_attention(&t[0], &t[1], &t[2], &layout, Compute::F32),
                |t| attention::composed(&t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2])?, &layout),
            );
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let f32s = |shape: &[usize]| random(shape, 1, 1.0).to_dtype(DType::F32).unwrap();
        let layout = AttentionLayout::new(vec![0, 4], vec![2], 2).unwrap();
        let error = self_attention(&f32s(&[3, 5]), &f32s(&[6, 5]), &f32s(&[6]), &layout, Compute::F32).unwrap_err();
        assert!(error.to_string().contains("attention input"), "{error}");
        let error = self_attention(&f32s(&[4, 5]), &f32s(&[9, 5]), &f32s(&[9]), &layout, Compute::F32).unwrap_err();
        assert!(error.to_string().contains("attention input"), "{error}");
        assert!(linear_gelu(&f32s(&[4, 5]), &f32s(&[6, 4]), &f32s(&[6]), Compute::F32).is_err());
    }
}
