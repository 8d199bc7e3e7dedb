//! GELU in its exact form, x · Φ(x) = x (1 + erf(x / √2)) / 2, alone or after a bias.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};

use super::host::{self, Values};
use super::mixed::wide;
use super::simd::{accumulate, dispatched, erf, exp};
use crate::{Error, Result};

#[inline(always)]
fn value(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Φ(x) + x · φ(x).
#[inline(always)]
fn slope(x: f32) -> f32 {
    const FRAC_1_SQRT_2_PI: f32 = 0.398_942_3;
    let density = FRAC_1_SQRT_2_PI * exp(-0.5 * x * x);
    x.mul_add(density, 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)))
}

dispatched! {
    fn activate(x: &mut [f32]) {
        for x in x {
            *x = value(*x);
        }
    }
}

dispatched! {
    /// Turns the inputs into their gradients.
    fn differentiate(x: &mut [f32], gradient: &[f32]) {
        for (x, g) in x.iter_mut().zip(gradient) {
            *x = g * slope(*x);
        }
    }
}

dispatched! {
    fn activate_biased(x: &mut [f32], bias: &[f32]) {
        for x in x.chunks_exact_mut(bias.len()) {
            for (x, b) in x.iter_mut().zip(bias) {
                *x = value(*x + b);
            }
        }
    }
}

dispatched! {
    /// Turns the inputs into their gradients; adds to that of the bias.
    fn differentiate_biased(x: &mut [f32], bias: &[f32], gradient: &[f32], d_bias: &mut [f32]) {
        for (x, g) in x.chunks_exact_mut(bias.len()).zip(gradient.chunks_exact(bias.len())) {
            for ((x, b), g) in x.iter_mut().zip(bias).zip(g) {
                *x = g * slope(*x + b);
            }
            accumulate(d_bias, x);
        }
    }
}

/// gelu(x + bias), row by row.
pub(super) fn forward_biased(x: &[f32], bias: &[f32]) -> Vec<f32> {
    host::map(x, host::rows_per_task(bias.len()) * bias.len(), |_, x| activate_biased(x, bias)).0
}

/// Gradients of `x` and `bias`.
pub(super) fn backward_biased(x: &[f32], bias: &[f32], gradient: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (d_x, partials) = host::map(x, host::rows_per_task(bias.len()) * bias.len(), |first, x| {
        let mut d_bias = vec![0f32; bias.len()];
        differentiate_biased(x, bias, &gradient[first..first + x.len()], &mut d_bias);
        d_bias
    });
    (d_x, host::add_up(partials, bias.len()))
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (out, _) = host::map(host::slice(x, layout)?, host::rows_per_task(1), |_, x| activate(x));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let gradient = Values::of(&gradient)?;
        let gradient: &[f32] = &gradient;
        let (d_x, _) = host::map(&Values::of(x)?, host::rows_per_task(1), |first, x| {
            differentiate(x, &gradient[first..first + x.len()]);
        });
        host::tensor(d_x, x).map(Some)
    }
}

struct BiasGelu;

impl CustomOp2 for BiasGelu {
    fn name(&self) -> &'static str {
        "bias_gelu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = forward_biased(host::slice(x, x_layout)?, host::slice(bias, bias_layout)?);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (d_x, d_bias) = backward_biased(&Values::of(x)?, &Values::of(bias)?, &Values::of(&gradient)?);
        Ok((Some(host::tensor(d_x, x)?), Some(host::tensor(d_bias, bias)?)))
    }
}

/// x · Φ(x), number by number.
///
/// # Errors
/// candle refuses.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    Ok(if host::serves(x) { x.contiguous()?.apply_op1(Gelu)? } else { wide(x)?.gelu_erf()?.to_dtype(x.dtype())? })
}

/// `gelu(x + bias)` for `x` `[.., f]` and `bias` `[f]`.
///
/// # Errors
/// The shapes do not fit, or candle refuses.
pub fn bias_gelu(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if bias.rank() != 1 || x.dims().last() != Some(&bias.elem_count()) || bias.elem_count() == 0 {
        return Err(Error::invalid(
            "bias_gelu shapes",
            "x [.., f] and bias [f] with f at least 1",
            format!("x {:?} and bias {:?}", x.dims(), bias.dims()),
        ));
    }
    if host::serves(x) {
        return Ok(x.contiguous()?.apply_op2(&bias.contiguous()?, BiasGelu)?);
    }
    Ok(wide(x)?.broadcast_add(bias)?.gelu_erf()?.to_dtype(x.dtype())?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::model::ops::check::{assert_same, random};

    #[test]
    fn agrees_with_candle_on_odd_shapes() {
        for (shape, scale) in [(vec![1], 1.0), (vec![1, 7], 5.0), (vec![5, 33], 5.0), (vec![300, 330], 5.0)] {
            assert_same(&[random(&shape, 1, scale)], |t| gelu(&t[0]), |t| Ok(t[0].gelu_erf()?));
        }
    }

    #[test]
    fn with_a_bias_agrees_with_candle() {
        for shape in [[1, 1], [1, 7], [5, 33], [300, 330]] {
            assert_same(
                &[random(&shape, 1, 4.0), random(&shape[1..], 2, 1.0)],
                |t| bias_gelu(&t[0], &t[1]),
                |t| Ok(t[0].broadcast_add(&t[1])?.gelu_erf()?),
            );
        }
    }

    #[test]
    fn large_inputs_neither_overflow_nor_vanish() {
        let x = Tensor::new(&[-1e30f32, -100.0, -0.0, 100.0, 1e18], &Device::Cpu).unwrap();
        let out = gelu(&x).unwrap().to_vec1::<f32>().unwrap();
        assert!(out[0].abs() <= 1e24 && out[1].abs() < 1e-4, "{out:?}");
        assert_eq!((out[2], out[3], out[4]), (0.0, 100.0, 1e18));
    }

    #[test]
    fn an_empty_batch_gives_an_empty_output_and_a_wrong_bias_is_refused() {
        let f32s = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        assert_eq!(bias_gelu(&f32s(&[0, 7]), &f32s(&[7])).unwrap().dims(), [0, 7]);
        assert_eq!(gelu(&f32s(&[0, 7])).unwrap().dims(), [0, 7]);
        assert!(bias_gelu(&f32s(&[2, 7]), &f32s(&[1])).unwrap_err().to_string().contains("bias_gelu shapes"));
    }
}
