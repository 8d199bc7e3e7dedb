//! In which numbers the compositions of candle's operators compute: products in the type of the states, all else in
//! f32 at least.
//!
//! Parameters stay f32 and are cast where a product uses them, so that the gradients which reach them are f32. Biases
//! and normalisations are never cast: candle adds up a gradient over rows in the type that it has, and thousands of
//! rows in bf16 would lose most of it.

use candle_core::{DType, Tensor};

/// `x` in the numbers that sums and exponentials are computed in: f32 for 16 bits, else its own.
pub(super) fn wide(x: &Tensor) -> candle_core::Result<Tensor> {
    match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}

/// x · weightᵀ, of factors in the type of `x`, for `x` `[.., in]` and `weight` `[out, in]`; wide again.
pub(super) fn product(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    wide(&x.broadcast_matmul(&weight.to_dtype(x.dtype())?.t()?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::super::check::random;
    use super::super::{AttentionLayout, dropout, dropout_residual_layer_norm, linear, linear_gelu, self_attention};
    use super::super::{layer_norm, tied_cross_entropy};
    use super::*;
    use crate::Result;
    use crate::model::Compute;

    const ROWS: usize = 9;
    const HIDDEN: usize = 12;

    /// The largest difference of two tensors over the largest number of the second.
    fn error(received: &Tensor, expected: &Tensor) -> f64 {
        let largest = |x: &Tensor| f64::from(x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap());
        let received = received.to_dtype(DType::F32).unwrap();
        largest(&(&received - expected).unwrap()) / largest(expected)
    }

    /// Runs `f` of states and f32 parameters with the states in f32, by the kernels, and in bf16, composed. The output
    /// is in the type of the states, each gradient in that of its input, and all are near.
    fn assert_near(parameters: &[&[usize]], scalar: bool, f: impl Fn(&Tensor, &[Tensor]) -> Result<Tensor>) {
        // Rounded first, so that both start from the same numbers.
        let states = random(&[ROWS, HIDDEN], 1, 1.0).to_dtype(DType::BF16).unwrap();
        let parameters: Vec<Var> = (2..)
            .zip(parameters)
            .map(|(seed, shape)| Var::from_tensor(&random(shape, seed, 0.5).to_dtype(DType::F32).unwrap()).unwrap())
            .collect();
        let tensors: Vec<Tensor> = parameters.iter().map(|parameter| parameter.as_tensor().clone()).collect();
        let run = |dtype: DType| {
            let states = Var::from_tensor(&states.to_dtype(dtype).unwrap()).unwrap();
            let out = f(&states, &tensors).unwrap();
            assert_eq!(out.dtype(), if scalar { DType::F32 } else { dtype });
            let weights = random(out.dims(), 77, 1.0).to_dtype(DType::F32).unwrap();
            let gradients = (wide(&out).unwrap() * weights).unwrap().sum_all().unwrap().backward().unwrap();
            let gradient = gradients.get(&states).expect("the states have a gradient").clone();
            assert_eq!(gradient.dtype(), dtype);
            let of_parameters = parameters.iter().enumerate().map(|(i, parameter)| {
                let gradient = gradients.get(parameter).unwrap_or_else(|| panic!("parameter {i} has no gradient"));
                assert_eq!(gradient.dtype(), DType::F32);
                gradient.clone()
            });
            [out, gradient].into_iter().chain(of_parameters).collect::<Vec<_>>()
        };
        for (i, (received, expected)) in run(DType::BF16).iter().zip(run(DType::F32)).enumerate() {
            let error = error(received, &expected);
            assert!(error < 0.02, "result {i} is off by {error}");
        }
    }

    #[test]
    fn every_operator_takes_bf16_states_and_gives_f32_gradients_to_its_parameters() {
        let layout = AttentionLayout::new(vec![0, 5, 6, ROWS], vec![2, 1, 0], 2).unwrap();
        let targets = Tensor::new(&[3u32, 0, 2, 4, 1, 1, 0, 3, 4], &Device::Cpu).unwrap();
        let compute = Compute::F32;
        assert_near(&[&[7, HIDDEN], &[7]], false, |x, p| linear(x, &p[0], &p[1], compute));
        assert_near(&[&[7, HIDDEN], &[7]], false, |x, p| linear_gelu(x, &p[0], &p[1], compute));
        assert_near(&[&[HIDDEN], &[HIDDEN]], false, |x, p| layer_norm(x, &p[0], &p[1], 1e-12));
        assert_near(&[&[HIDDEN], &[HIDDEN]], false, |x, p| {
            dropout_residual_layer_norm(x, &(x * 0.5)?, &p[0], &p[1], 1e-12, 0.3, 5)
        });
        assert_near(&[], false, |x, _| dropout(x, 0.3, 5));
        assert_near(&[&[3 * HIDDEN, HIDDEN], &[3 * HIDDEN]], false, |x, p| {
            self_attention(x, &p[0], &p[1], &layout, compute)
        });
        assert_near(&[&[5, HIDDEN], &[5]], true, |x, p| tied_cross_entropy(x, &p[0], &p[1], &targets, compute));
    }

    /// In bf16 a sum of ones would stop at 256.
    #[test]
    fn the_gradient_of_a_bias_is_added_up_in_f32() {
        let f32s = |shape: (usize, usize)| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let bias = Var::zeros(3, DType::F32, &Device::Cpu).unwrap();
        let out = linear(&f32s((5_001, 2)).to_dtype(DType::BF16).unwrap(), &f32s((3, 2)), &bias, Compute::F32).unwrap();
        let gradients = wide(&out).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&bias).unwrap().to_vec1::<f32>().unwrap(), [5_001.0; 3]);
    }
}
