//! y = x · Wᵀ + b, with W as BERT's files hold it: one row per output.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::host::{self, Values};
use super::matmul::{Matrix, Right, Start, product};
use super::mixed;
use super::simd::{accumulate, dispatched};
use crate::model::Compute;
use crate::{Error, Result};

dispatched! {
    fn add_rows(rows: &[f32], total: &mut [f32]) {
        for row in rows.chunks_exact(total.len()) {
            accumulate(total, row);
        }
    }
}

/// Column sums of rows of `width` numbers.
pub(super) fn column_sums(rows: &[f32], width: usize) -> Vec<f32> {
    let partials = rows
        .par_chunks(host::rows_per_task(width) * width)
        .map(|rows| {
            let mut total = vec![0f32; width];
            add_rows(rows, &mut total);
            total
        })
        .collect();
    host::add_up(partials, width)
}

/// Output shape: that of `x` with its last size replaced.
pub(super) fn output_shape(x: &Layout, outputs: usize) -> Shape {
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    Shape::from(dims)
}

/// x · weightᵀ, for a weight of `outputs` × `inputs`.
pub(super) fn forward(x: &[f32], weight: &[f32], (outputs, inputs): (usize, usize), compute: Compute) -> Vec<f32> {
    product(Matrix::new(x, x.len() / inputs, inputs), Matrix::new(weight, outputs, inputs).t(), compute)
}

/// x · weightᵀ + bias.
pub(super) fn forward_biased(x: &[f32], weight: &[f32], bias: &[f32], inputs: usize, compute: Compute) -> Vec<f32> {
    let weight = Right::new(Matrix::new(weight, bias.len(), inputs).t(), compute);
    weight.product(Matrix::new(x, x.len() / inputs, inputs), Start::Row(bias), compute)
}

/// Gradients of `x` and `weight`, each only if it is wanted.
pub(super) fn backward(
    x: &Tensor,
    weight: &Tensor,
    gradient: &[f32],
    compute: Compute,
) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
    let (outputs, inputs) = weight.dims2()?;
    let rows = x.elem_count() / inputs;
    let gradient = Matrix::new(gradient, rows, outputs);
    let d_x = if x.track_op() {
        Some(host::tensor(product(gradient, Matrix::new(&Values::of(weight)?, outputs, inputs), compute), x)?)
    } else {
        None
    };
    let d_weight = if weight.track_op() {
        Some(host::tensor(product(gradient.t(), Matrix::new(&Values::of(x)?, rows, inputs), compute), weight)?)
    } else {
        None
    };
    Ok((d_x, d_weight))
}

struct Linear(Compute);

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        let out = forward_biased(x, weight, host::slice(bias, bias_layout)?, inputs, self.0);
        Ok((CpuStorage::F32(out), output_shape(x_layout, outputs)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let gradient = Values::of(&gradient)?;
        let (d_x, d_weight) = backward(x, weight, &gradient, self.0)?;
        let d_bias = host::tensor(column_sums(&gradient, bias.elem_count()), bias)?;
        Ok((d_x, d_weight, Some(d_bias)))
    }
}

struct Project(Compute);

impl CustomOp2 for Project {
    fn name(&self) -> &'static str {
        "project"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (outputs, inputs) = weight_layout.shape().dims2()?;
        let (x, weight) = (host::slice(x, x_layout)?, host::slice(weight, weight_layout)?);
        Ok((CpuStorage::F32(forward(x, weight, (outputs, inputs), self.0)), output_shape(x_layout, outputs)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        backward(x, weight, &Values::of(&gradient)?, self.0)
    }
}

pub(super) fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    let fits = match (x.dims().last(), weight.dims()) {
        (Some(&width), &[outputs, inputs]) => {
            width == inputs && inputs > 0 && outputs > 0 && bias.is_none_or(|bias| bias.dims() == [outputs])
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Error::invalid(
        "linear shapes",
        "x [.., in], weight [out, in], bias [out], none of them 0",
        format!("x {:?}, weight {:?}, bias {:?}", x.dims(), weight.dims(), bias.map(Tensor::dims)),
    ))
}

/// x · weightᵀ + bias for `x` `[.., in]`, `weight` `[out, in]`, `bias` `[out]`; returns `[.., out]`.
///
/// # Errors
/// The shapes do not fit, or candle refuses.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, compute: Compute) -> Result<Tensor> {
    check(x, weight, Some(bias))?;
    if host::serves(x) {
        return Ok(x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Linear(compute))?);
    }
    Ok(mixed::product(x, weight)?.broadcast_add(bias)?.to_dtype(x.dtype())?)
}

/// x · weightᵀ without a bias, for `x` [.., in] and `weight` [out, in]; returns [.., out].
///
/// # Errors
/// The shapes do not fit, or candle refuses.
pub fn project(x: &Tensor, weight: &Tensor, compute: Compute) -> Result<Tensor> {
    check(x, weight, None)?;
    if host::serves(x) {
        return Ok(x.contiguous()?.apply_op2(&weight.contiguous()?, Project(compute))?);
    }
    Ok(mixed::product(x, weight)?.to_dtype(x.dtype())?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::model::ops::check::{assert_same, random};

    #[test]
    fn agrees_with_candle_on_odd_shapes() {
        for (rows, inputs, outputs) in [(1, 1, 1), (1, 7, 3), (5, 7, 9), (3, 33, 5), (200, 65, 130)] {
            let inputs =
                [random(&[rows, inputs], 1, 1.0), random(&[outputs, inputs], 2, 1.0), random(&[outputs], 3, 1.0)];
            let composed = |t: &[Tensor]| Ok(t[0].broadcast_matmul(&t[1].t()?)?.broadcast_add(&t[2])?);
            assert_same(&inputs, |t| linear(&t[0], &t[1], &t[2], Compute::F32), composed);
            assert_same(&inputs[..2], |t| project(&t[0], &t[1], Compute::F32), |t| Ok(t[0].matmul(&t[1].t()?)?));
        }
    }

    #[test]
    fn takes_three_axes_and_strided_inputs() {
        let inputs = [random(&[7, 2, 3], 1, 1.0), random(&[7, 5], 2, 1.0), random(&[5], 3, 1.0)];
        assert_same(
            &inputs,
            |t| linear(&t[0].transpose(0, 2)?, &t[1].t()?, &t[2], Compute::F32),
            |t| Ok(t[0].transpose(0, 2)?.contiguous()?.broadcast_matmul(&t[1])?.broadcast_add(&t[2])?),
        );
    }

    #[test]
    fn an_empty_batch_gives_an_empty_output_and_wrong_sizes_are_refused() {
        let f32s = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        assert_eq!(linear(&f32s(&[0, 7]), &f32s(&[3, 7]), &f32s(&[3]), Compute::F32).unwrap().dims(), [0, 3]);
        assert!(
            linear(&f32s(&[2, 7]), &f32s(&[3, 6]), &f32s(&[3]), Compute::F32)
                .unwrap_err()
                .to_string()
                .contains("linear shapes")
        );
        assert!(project(&f32s(&[2, 7]), &f32s(&[7]), Compute::F32).unwrap_err().to_string().contains("linear shapes"));
    }
}
