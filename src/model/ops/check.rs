//! What the operators' tests share: our kernels in f32 and their fallbacks against candle's own operators in f64, and
//! all of them against central finite differences.

use candle_core::{DType, Device, Tensor, Var};

use crate::Result;

/// Deterministic numbers in ±`scale`, f64.
pub(super) fn random(shape: &[usize], seed: u64, scale: f64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f64> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Rounded to f32, so that both precisions start from the same numbers.
            f64::from((((state >> 33) as f64 / 2f64.powi(30) - 1.0) * scale) as f32)
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_near(name: &str, received: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(received.len(), expected.len(), "{name}: length");
    let scale = expected.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    for (i, (r, e)) in received.iter().zip(expected).enumerate() {
        assert!(r.is_finite() && (r - e).abs() <= tolerance * scale, "{name}[{i}]: {r}, expected {e} (scale {scale})");
    }
}

/// The output, and the gradients of Σ output · weights towards every input.
fn run(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>, dtype: DType) -> (Vec<f64>, Vec<Vec<f64>>) {
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let out = f(&tensors).unwrap();
    let weights = random(out.dims(), 77, 1.0).to_dtype(dtype).unwrap();
    let gradients = (&out * weights).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = vars.iter().map(|v| flat(gradients.get(v).expect("every input has a gradient"))).collect();
    (flat(&out), gradients)
}

fn loss(inputs: &[Tensor], f: &impl Fn(&[Tensor]) -> Result<Tensor>) -> f64 {
    let out = f(inputs).unwrap();
    let weights = random(out.dims(), 77, 1.0);
    (out * weights).unwrap().sum_all().unwrap().to_scalar().unwrap()
}

/// Compares output and gradients of `ours` with `composed` in f64: in f32, where our kernels run, to 1e-5 of the largest
/// value, and in f64, where `ours` falls back. Inputs up to 300 numbers are also compared with finite differences.
pub(super) fn assert_same(
    inputs: &[Tensor],
    ours: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (expected, expected_gradients) = run(inputs, &composed, DType::F64);
    let compare = |name: &str, dtype: DType, tolerance: f64| {
        let (out, gradients) = run(inputs, &ours, dtype);
        assert_near(&format!("{name} output"), &out, &expected, tolerance);
        for (i, (gradient, expected)) in gradients.iter().zip(&expected_gradients).enumerate() {
            assert_near(&format!("{name} gradient of input {i}"), gradient, expected, tolerance);
        }
        gradients
    };
    compare("fallback's", DType::F64, 1e-9);
    let gradients = compare("kernel's", DType::F32, 1e-5);
    if inputs.iter().map(Tensor::elem_count).sum::<usize>() > 300 {
        return;
    }
    for (i, gradient) in gradients.iter().enumerate() {
        let values = flat(&inputs[i]);
        let step = 1e-5;
        let differences: Vec<f64> = (0..values.len())
            .map(|j| {
                let moved = |by: f64| {
                    let mut values = values.clone();
                    values[j] += by;
                    let mut inputs = inputs.to_vec();
                    inputs[i] = Tensor::from_vec(values, inputs[i].shape(), &Device::Cpu).unwrap();
                    loss(&inputs, &composed)
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            })
            .collect();
        assert_near(&format!("finite differences of input {i}"), gradient, &differences, 2e-5);
    }
}
