//! GELU in its exact form, x · Φ(x) = x (1 + erf(x / √2)) / 2, alone or after a bias.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::host::{self, Values};
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
    fn forward(x: &[f32], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = value(*x);
        }
    }
}

dispatched! {
    fn backward(x: &[f32], gradient: &[f32], out: &mut [f32]) {
        for ((out, x), g) in out.iter_mut().zip(x).zip(gradient) {
            *out = g * slope(*x);
        }
    }
}

dispatched! {
    fn forward_biased(x: &[f32], bias: &[f32], out: &mut [f32]) {
        for (out, x) in out.chunks_exact_mut(bias.len()).zip(x.chunks_exact(bias.len())) {
            for ((out, x), b) in out.iter_mut().zip(x).zip(bias) {
                *out = value(x + b);
            }
        }
    }
}

dispatched! {
    fn backward_biased(x: &[f32], bias: &[f32], gradient: &[f32], out: &mut [f32], d_bias: &mut [f32]) {
        let width = bias.len();
        for ((out, x), g) in
            out.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(gradient.chunks_exact(width))
        {
            for (((out, x), b), g) in out.iter_mut().zip(x).zip(bias).zip(g) {
                *out = g * slope(x + b);
            }
            accumulate(d_bias, out);
        }
    }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = host::slice(x, layout)?;
        let mut out = vec![0f32; x.len()];
        let task = host::rows_per_task(1);
        out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| forward(x, out));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let mut out = vec![0f32; x.elem_count()];
        let task = host::rows_per_task(1);
        let (values, gradient) = (Values::of(x)?, Values::of(&gradient)?);
        out.par_chunks_mut(task)
            .zip(values.par_chunks(task))
            .zip(gradient.par_chunks(task))
            .for_each(|((out, x), gradient)| backward(x, gradient, out));
        host::tensor(out, x).map(Some)
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
        let (x, bias) = (host::slice(x, x_layout)?, host::slice(bias, bias_layout)?);
        let mut out = vec![0f32; x.len()];
        let task = host::rows_per_task(bias.len()) * bias.len();
        out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| forward_biased(x, bias, out));
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
        let mut out = vec![0f32; x.elem_count()];
        let width = bias.elem_count();
        let task = host::rows_per_task(width) * width;
        let (values, biases, gradient) = (Values::of(x)?, Values::of(bias)?, Values::of(&gradient)?);
        let biases: &[f32] = &biases;
        let partials = out
            .par_chunks_mut(task)
            .zip(values.par_chunks(task))
            .zip(gradient.par_chunks(task))
            .map(|((out, x), gradient)| {
                let mut d_bias = vec![0f32; width];
                backward_biased(x, biases, gradient, out, &mut d_bias);
                d_bias
            })
            .collect();
        Ok((Some(host::tensor(out, x)?), Some(host::tensor(host::add_up(partials, width), bias)?)))
    }
}

/// x · Φ(x), number by number.
///
/// # Errors
/// candle refuses.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    Ok(if host::serves(x) { x.contiguous()?.apply_op1(Gelu)? } else { x.gelu_erf()? })
}

/// `gelu(x + bias)` for `x` [.., f] and `bias` [f].
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
    Ok(x.broadcast_add(bias)?.gelu_erf()?)
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
