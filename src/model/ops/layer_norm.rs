//! Layer normalisation over the last axis, alone or after dropout and a residual connection.

use candle_core::{CpuStorage, CustomOp3, D, Layout, Shape, Tensor};

use super::dropout::{Mask, masked};
use super::host::{self, Values};
use super::mixed::wide;
use super::simd::{accumulate, dispatched, sum, sum_by};
use crate::{Error, Result};

/// Mean and 1 / √(variance + ε) of a row.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum(row) / row.len() as f32;
    let variance = sum_by(row, row, |v, _| (v - mean) * (v - mean)) / row.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

dispatched! {
    /// Normalises rows in place.
    fn normalise(rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
        for row in rows.chunks_exact_mut(weight.len()) {
            let (mean, scale) = moments(row, eps);
            for ((v, w), b) in row.iter_mut().zip(weight).zip(bias) {
                *v = ((*v - mean) * scale).mul_add(*w, *b);
            }
        }
    }
}

dispatched! {
    /// Turns the rows that were normalised into their gradients; adds to the gradients of weight and bias.
    /// `scaled` is room for one row.
    fn differentiate(
        rows: &mut [f32],
        gradient: &[f32],
        weight: &[f32],
        eps: f32,
        d_weight: &mut [f32],
        d_bias: &mut [f32],
        scaled: &mut [f32],
    ) {
        let width = weight.len();
        for (row, gradient) in rows.chunks_exact_mut(width).zip(gradient.chunks_exact(width)) {
            let (mean, scale) = moments(row, eps);
            for (((v, g), dw), db) in row.iter_mut().zip(gradient).zip(&mut *d_weight).zip(&mut *d_bias) {
                *v = (*v - mean) * scale;
                *dw = g.mul_add(*v, *dw);
                *db += g;
            }
            for ((scaled, g), w) in scaled.iter_mut().zip(gradient).zip(weight) {
                *scaled = g * w;
            }
            let mean_gradient = sum(scaled) / width as f32;
            let projection = sum_by(scaled, row, |s, v| s * v) / width as f32;
            for (v, s) in row.iter_mut().zip(&*scaled) {
                *v = scale * (s - mean_gradient - *v * projection);
            }
        }
    }
}

dispatched! {
    /// x = x · mask + residual, where `first` is the position of the first number.
    fn add_after_dropout(x: &mut [f32], residual: &[f32], mask: Mask, first: u32) {
        for (i, (x, r)) in x.iter_mut().zip(residual).enumerate() {
            *x = x.mul_add(mask.factor(first.wrapping_add(i as u32)), *r);
        }
    }
}

dispatched! {
    fn add(x: &mut [f32], residual: &[f32]) {
        accumulate(x, residual);
    }
}

/// What is added to `x` before it is normalised.
#[derive(Clone, Copy)]
struct Residual<'a> {
    values: &'a [f32],
    mask: Option<Mask>,
}

impl Residual<'_> {
    /// Adds to numbers of `x` from the one at `first` on.
    fn add_to(self, first: usize, x: &mut [f32]) {
        let values = &self.values[first..first + x.len()];
        match self.mask {
            Some(mask) => add_after_dropout(x, values, mask, first as u32),
            None => add(x, values),
        }
    }
}

fn forward(x: &[f32], residual: Option<Residual<'_>>, weight: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let task = host::rows_per_task(weight.len()) * weight.len();
    let (out, _) = host::map(x, task, |first, rows| {
        if let Some(residual) = residual {
            residual.add_to(first, rows);
        }
        normalise(rows, weight, bias, eps);
    });
    out
}

/// Gradients of the rows that were normalised, and of weight and bias one after the other.
fn backward(
    x: &[f32],
    residual: Option<Residual<'_>>,
    gradient: &[f32],
    weight: &[f32],
    eps: f32,
) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let (rows, partials) = host::map(x, host::rows_per_task(width) * width, |first, rows| {
        if let Some(residual) = residual {
            residual.add_to(first, rows);
        }
        let mut parameters = vec![0f32; 2 * width];
        let (d_weight, d_bias) = parameters.split_at_mut(width);
        let gradient = &gradient[first..first + rows.len()];
        differentiate(rows, gradient, weight, eps, d_weight, d_bias, &mut vec![0f32; width]);
        parameters
    });
    (rows, host::add_up(partials, 2 * width))
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
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
        let (weight, bias) = (host::slice(weight, weight_layout)?, host::slice(bias, bias_layout)?);
        let out = forward(host::slice(x, x_layout)?, None, weight, bias, self.eps);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
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
        let (rows, mut d_weight) =
            backward(&Values::of(x)?, None, &Values::of(&gradient)?, &Values::of(weight)?, self.eps);
        let d_bias = d_weight.split_off(weight.elem_count());
        Ok((Some(host::tensor(rows, x)?), Some(host::tensor(d_weight, weight)?), Some(host::tensor(d_bias, bias)?)))
    }
}

/// Its third argument holds weight and bias as the rows of a [2, h] tensor, for want of a fourth.
struct ResidualLayerNorm {
    eps: f32,
    mask: Option<Mask>,
}

impl CustomOp3 for ResidualLayerNorm {
    fn name(&self) -> &'static str {
        "residual_layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, residual) = (host::slice(x, x_layout)?, host::slice(residual, residual_layout)?);
        let parameters = host::slice(parameters, parameters_layout)?;
        let (weight, bias) = parameters.split_at(parameters.len() / 2);
        let out = forward(x, Some(Residual { values: residual, mask: self.mask }), weight, bias, self.eps);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let values = (Values::of(x)?, Values::of(residual)?, Values::of(parameters)?);
        let (weight, _) = values.2.split_at(parameters.elem_count() / 2);
        let added = Residual { values: &values.1, mask: self.mask };
        let (rows, d_parameters) = backward(&values.0, Some(added), &Values::of(&gradient)?, weight, self.eps);
        let d_residual = host::tensor(rows, residual)?;
        let d_x = match self.mask {
            Some(mask) => host::tensor(super::dropout::apply(&Values::of(&d_residual)?, mask), x)?,
            None => d_residual.clone(),
        };
        Ok((Some(d_x), Some(d_residual), Some(host::tensor(d_parameters, parameters)?)))
    }
}

/// The same in candle's own operators, for devices and types without our kernels. Wide, whatever `x` is.
fn composed(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let x = wide(x)?;
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    Ok(normed.broadcast_mul(weight)?.broadcast_add(bias)?)
}

fn check(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<()> {
    match x.dims().last() {
        Some(&width) if width > 0 && weight.dims() == [width] && bias.dims() == [width] => Ok(()),
        _ => Err(Error::invalid(
            "layer_norm shapes",
            "x [.., h], weight [h], bias [h] with h at least 1",
            format!("x {:?}, weight {:?}, bias {:?}", x.dims(), weight.dims(), bias.dims()),
        )),
    }
}

/// Normalises each row of `x` `[.., h]` to mean 0 and variance 1, then scales by `weight` `[h]` and shifts by `bias` `[h]`.
///
/// # Errors
/// The shapes do not fit, or candle refuses.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    check(x, weight, bias)?;
    if host::serves(x) {
        let op = LayerNorm { eps: eps as f32 };
        return Ok(x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?);
    }
    Ok(composed(x, weight, bias, eps)?.to_dtype(x.dtype())?)
}

/// `layer_norm(x + residual)` in one pass over memory.
///
/// # Errors
/// The shapes do not fit, or candle refuses.
pub fn residual_layer_norm(x: &Tensor, residual: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    dropout_residual_layer_norm(x, residual, weight, bias, eps, 0.0, 0)
}

/// `layer_norm(dropout(x, probability, seed) + residual)` in one pass over memory: what ends each half of a layer.
///
/// # Errors
/// The shapes do not fit, the probability is not in 0 ≤ p < 1, or candle refuses.
pub fn dropout_residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    probability: f64,
    seed: u64,
) -> Result<Tensor> {
    check(x, weight, bias)?;
    if x.dims() != residual.dims() {
        return Err(Error::invalid(
            "residual shape",
            format!("that of x, {:?}", x.dims()),
            format!("{:?}", residual.dims()),
        ));
    }
    let mask = Some(Mask::new(probability, seed)?).filter(|mask| !mask.is_identity());
    if host::serves(x) {
        let op = ResidualLayerNorm { eps: eps as f32, mask };
        let parameters = Tensor::stack(&[weight, bias], 0)?;
        return Ok(x.contiguous()?.apply_op3(&residual.contiguous()?, &parameters, op)?);
    }
    let dropped = match mask {
        Some(mask) => masked(x, mask)?,
        None => wide(x)?,
    };
    Ok(composed(&(dropped + wide(residual)?)?, weight, bias, eps)?.to_dtype(x.dtype())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ops::check::{assert_same, random};

    #[test]
    fn agrees_with_candle_on_odd_shapes() {
        for shape in [vec![1, 1], vec![1, 7], vec![3, 33], vec![2, 3, 7], vec![300, 384], vec![5, 1]] {
            let width = shape[shape.len() - 1];
            let inputs = [random(&shape, 1, 3.0), random(&[width], 2, 1.0), random(&[width], 3, 1.0)];
            assert_same(&inputs, |t| layer_norm(&t[0], &t[1], &t[2], 1e-5), |t| composed(&t[0], &t[1], &t[2], 1e-5));
        }
    }

    #[test]
    fn residual_and_dropout_agree_with_candle() {
        for (shape, probability) in [([4, 7], 0.0), ([4, 7], 0.4), ([1, 33], 0.1), ([300, 130], 0.1)] {
            let width = shape[1];
            let inputs =
                [random(&shape, 1, 3.0), random(&shape, 4, 3.0), random(&[width], 2, 1.0), random(&[width], 3, 1.0)];
            assert_same(
                &inputs,
                |t| dropout_residual_layer_norm(&t[0], &t[1], &t[2], &t[3], 1e-5, probability, 11),
                |t| {
                    let x = masked(&t[0], Mask::new(probability, 11)?)?;
                    composed(&(x + &t[1])?, &t[2], &t[3], 1e-5)
                },
            );
        }
    }

    #[test]
    fn takes_a_transposed_input() {
        let inputs = [random(&[33, 5], 1, 3.0), random(&[33], 2, 1.0), random(&[33], 3, 1.0)];
        assert_same(
            &inputs,
            |t| layer_norm(&t[0].t()?, &t[1], &t[2], 1e-5),
            |t| composed(&t[0].t()?, &t[1], &t[2], 1e-5),
        );
    }

    #[test]
    fn an_empty_batch_gives_an_empty_output_and_wrong_widths_are_refused() {
        let f32s = |shape: &[usize]| random(shape, 1, 1.0).to_dtype(candle_core::DType::F32).unwrap();
        let out = layer_norm(&f32s(&[0, 7]), &f32s(&[7]), &f32s(&[7]), 1e-5).unwrap();
        assert_eq!(out.dims(), [0, 7]);
        let error = layer_norm(&f32s(&[2, 7]), &f32s(&[6]), &f32s(&[7]), 1e-5).unwrap_err();
        assert!(error.to_string().contains("layer_norm shapes"), "{error}");
    }
}
