//! How long each operator takes beside its composition in candle's own operators, at the size of a training step:
//! `cargo test --release --lib model::ops::timing -- --ignored --nocapture`.

use std::time::Instant;

use candle_core::{D, DType, Device, Tensor, Var};

use super::*;
use crate::Result;
use crate::model::Compute;

const TOKENS: usize = 1_024;
const HIDDEN: usize = 384;
const HEADS: usize = 12;
const WIDE: usize = 1_536;
const VOCABULARY: usize = 18_078;
const TARGETS: usize = 500;

/// The least times of the forward and the backward pass, in milliseconds: the machine may be busy with other work.
fn time(shapes: &[&[usize]], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> (f64, f64) {
    let vars: Vec<Tensor> = shapes
        .iter()
        .map(|shape| Var::from_tensor(&Tensor::randn(0f32, 0.5, *shape, &Device::Cpu).unwrap()).unwrap().into_inner())
        .collect();
    let (mut forward, mut backward) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..20 {
        let start = Instant::now();
        let out = f(&vars).unwrap();
        forward = forward.min(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        out.backward().unwrap();
        backward = backward.min(start.elapsed().as_secs_f64() * 1e3);
    }
    (forward, backward)
}

fn compare(
    name: &str,
    shapes: &[&[usize]],
    ours: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    candle: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (ours, candle) = (time(shapes, ours), time(shapes, candle));
    println!("{name:34} {:8.2} {:8.2}   {:8.2} {:8.2}", ours.0, ours.1, candle.0, candle.1);
}

fn packed() -> AttentionLayout {
    // 32 pairs of a 16-token source and a 16-token target, the shape of the question corpora.
    AttentionLayout::new((0..=32).map(|i| i * 32).collect(), vec![16; 32], HEADS).unwrap()
}

#[test]
#[ignore = "a measurement"]
fn operators() {
    let targets = Tensor::from_vec((0..TARGETS as u32).map(|i| i * 31).collect(), TARGETS, &Device::Cpu).unwrap();
    let ids = Tensor::from_vec((0..TOKENS as u32).map(|i| i * 17).collect(), TOKENS, &Device::Cpu).unwrap();
    println!("{:34} {:>17}   {:>17}   milliseconds", "", "ours fwd     bwd", "candle fwd   bwd");
    let (rows, wide): (&[usize], &[usize]) = (&[TOKENS, HIDDEN], &[TOKENS, WIDE]);
    let linear_of = |t: &[Tensor]| -> Result<Tensor> { Ok(t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2])?) };
    compare(
        "linear 384 -> 384",
        &[rows, &[384, 384], &[384]],
        &|t| linear(&t[0], &t[1], &t[2], Compute::F32),
        &linear_of,
    );
    compare(
        "linear 384 -> 1152",
        &[rows, &[1152, 384], &[1152]],
        &|t| linear(&t[0], &t[1], &t[2], Compute::F32),
        &linear_of,
    );
    compare(
        "linear 384 -> 1536",
        &[rows, &[1536, 384], &[1536]],
        &|t| linear(&t[0], &t[1], &t[2], Compute::F32),
        &linear_of,
    );
    compare(
        "linear 1536 -> 384",
        &[wide, &[384, 1536], &[384]],
        &|t| linear(&t[0], &t[1], &t[2], Compute::F32),
        &linear_of,
    );
    compare("project 384 -> 1536", &[rows, &[1536, 384]], &|t| project(&t[0], &t[1], Compute::F32), &|t| {
        Ok(t[0].matmul(&t[1].t()?)?)
    });
    compare("gelu", &[wide], &|t| gelu(&t[0]), &|t| Ok(t[0].gelu_erf()?));
    compare("bias_gelu", &[wide, &[WIDE]], &|t| bias_gelu(&t[0], &t[1]), &|t| {
        Ok(t[0].broadcast_add(&t[1])?.gelu_erf()?)
    });
    compare(
        "linear_gelu 384 -> 1536",
        &[rows, &[WIDE, HIDDEN], &[WIDE]],
        &|t| linear_gelu(&t[0], &t[1], &t[2], Compute::F32),
        &|t| Ok(linear_of(t)?.gelu_erf()?),
    );
    let norm = |x: &Tensor, t: &[Tensor]| -> Result<Tensor> {
        let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let x = x.broadcast_div(&(x.sqr()?.mean_keepdim(D::Minus1)? + 1e-12)?.sqrt()?)?;
        Ok(x.broadcast_mul(&t[0])?.broadcast_add(&t[1])?)
    };
    compare("layer_norm", &[rows, &[HIDDEN], &[HIDDEN]], &|t| layer_norm(&t[0], &t[1], &t[2], 1e-12), &|t| {
        norm(&t[0], &t[1..])
    });
    let dropped: &[&[usize]] = &[rows, rows, &[HIDDEN], &[HIDDEN]];
    compare(
        "dropout_residual_layer_norm",
        dropped,
        &|t| dropout_residual_layer_norm(&t[0], &t[1], &t[2], &t[3], 1e-12, 0.1, 3),
        &|t| norm(&(candle_nn::ops::dropout(&t[0], 0.1)? + &t[1])?, &t[2..]),
    );
    compare("dropout", &[rows], &|t| dropout(&t[0], 0.1, 3), &|t| Ok(candle_nn::ops::dropout(&t[0], 0.1)?));
    let layout = packed();
    compare("attention", &[&[TOKENS, 3 * HIDDEN]], &|t| attention(&t[0], &layout), &|t| {
        attention::composed(&t[0], &layout)
    });
    compare(
        "self_attention",
        &[rows, &[3 * HIDDEN, HIDDEN], &[3 * HIDDEN]],
        &|t| self_attention(&t[0], &t[1], &t[2], &layout, Compute::F32),
        &|t| attention::composed(&linear_of(t)?, &layout),
    );
    compare("embedding", &[&[VOCABULARY, HIDDEN]], &|t| embedding(&t[0], &ids), &|t| Ok(t[0].embedding(&ids)?));
    compare("cross_entropy", &[&[TARGETS, VOCABULARY]], &|t| cross_entropy(&t[0], &targets), &|t| {
        Ok(candle_nn::loss::cross_entropy(&t[0], &targets)?)
    });
    compare(
        "tied_cross_entropy",
        &[&[TARGETS, HIDDEN], &[VOCABULARY, HIDDEN], &[VOCABULARY]],
        &|t| tied_cross_entropy(&t[0], &t[1], &t[2], &targets, Compute::F32),
        &|t| Ok(candle_nn::loss::cross_entropy(&t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2])?, &targets)?),
    );
}

/// One step of a 12-layer network on these operators, the gradients of everything included.
#[test]
#[ignore = "a measurement"]
fn step() {
    let var = |shape: &[usize]| {
        Var::from_tensor(&Tensor::randn(0f32, 0.02, shape, &Device::Cpu).unwrap()).unwrap().into_inner()
    };
    let ids = Tensor::from_vec((0..TOKENS as u32).map(|i| i * 17).collect(), TOKENS, &Device::Cpu).unwrap();
    let targets = Tensor::from_vec((0..TARGETS as u32).map(|i| i * 31).collect(), TARGETS, &Device::Cpu).unwrap();
    let (table, vocabulary_bias) = (var(&[VOCABULARY, HIDDEN]), var(&[VOCABULARY]));
    let ones = || Var::from_tensor(&Tensor::ones(HIDDEN, DType::F32, &Device::Cpu).unwrap()).unwrap().into_inner();
    let dense = |outputs: usize, inputs: usize| (var(&[outputs, inputs]), var(&[outputs]));
    let layers: Vec<_> = (0..12)
        .map(|_| {
            let dense = [dense(3 * HIDDEN, HIDDEN), dense(HIDDEN, HIDDEN), dense(WIDE, HIDDEN), dense(HIDDEN, WIDE)];
            (dense, [(ones(), var(&[HIDDEN])), (ones(), var(&[HIDDEN]))])
        })
        .collect();
    let layout = packed();
    let forward = |compute: Compute| -> Result<Tensor> {
        let mut x = embedding(&table, &ids)?;
        for ([qkv, out, wide, narrow], [first, second]) in &layers {
            let y = linear(&self_attention(&x, &qkv.0, &qkv.1, &layout, compute)?, &out.0, &out.1, compute)?;
            x = dropout_residual_layer_norm(&y, &x, &first.0, &first.1, 1e-12, 0.1, 1)?;
            let y = linear(&linear_gelu(&x, &wide.0, &wide.1, compute)?, &narrow.0, &narrow.1, compute)?;
            x = dropout_residual_layer_norm(&y, &x, &second.0, &second.1, 1e-12, 0.1, 2)?;
        }
        tied_cross_entropy(&x.narrow(0, 0, TARGETS)?, &table, &vocabulary_bias, &targets, compute)
    };
    for compute in [Compute::F32, Compute::Bf16].repeat(4) {
        let start = Instant::now();
        let loss = forward(compute).unwrap();
        let forward = start.elapsed().as_secs_f64() * 1e3;
        loss.backward().unwrap();
        println!(
            "{compute:?}: forward {forward:.0} ms, backward {:.0} ms",
            start.elapsed().as_secs_f64() * 1e3 - forward
        );
    }
}

/// The rate of the products of a training step: forward, and backward to the input and to the weight.
#[test]
#[ignore = "a measurement"]
fn products() {
    use super::matmul::{Matrix, product};
    println!("{:34} {:>8} {:>8}   GFLOP/s, F32 and Bf16", "rows x inputs -> outputs", "", "");
    for (rows, inputs, outputs) in [
        (TOKENS, HIDDEN, HIDDEN),
        (TOKENS, HIDDEN, 3 * HIDDEN),
        (TOKENS, HIDDEN, WIDE),
        (TOKENS, WIDE, HIDDEN),
        (TARGETS, HIDDEN, VOCABULARY),
    ] {
        let numbers = |count: usize| -> Vec<f32> { (0..count).map(|i| (i * 37 % 101) as f32 / 101.0).collect() };
        let (x, w, g) = (numbers(rows * inputs), numbers(outputs * inputs), numbers(rows * outputs));
        let (x, w, g) =
            (Matrix::new(&x, rows, inputs), Matrix::new(&w, outputs, inputs), Matrix::new(&g, rows, outputs));
        for (name, a, b) in [("y", x, w.t()), ("dx", g, w), ("dw", g.t(), x)] {
            let mut rates = [0f64; 2];
            for (rate, compute) in rates.iter_mut().zip([Compute::F32, Compute::Bf16]) {
                for _ in 0..12 {
                    let start = Instant::now();
                    std::hint::black_box(product(a, b, compute));
                    let flops = 2.0 * (rows * inputs * outputs) as f64;
                    *rate = rate.max(flops / start.elapsed().as_secs_f64() / 1e9);
                }
            }
            println!("{:34} {:8.0} {:8.0}", format!("{rows} x {inputs} -> {outputs}, {name}"), rates[0], rates[1]);
        }
    }
}
