//! A GPU against the CPU: one training step from the same weights and batch, compared number by number.
//!
//! `cargo test --release --features cuda --test cuda -- --nocapture` runs these. Without a GPU they say so and pass.
#![cfg(feature = "cuda")]

use candle_core::{Device, Tensor};
use simbert::model::{Bert, Compute, Config, Dropout, Pooling, Weights};
use simbert::text::Batch;
use simbert::train::losses::{self, Alike};
use simbert::train::{AdamW, OptimizerSettings};

const PAIRS: usize = 8;
const LEARNING_RATE: f64 = 1e-3;

fn gpu() -> Option<Device> {
    match Device::new_cuda(0) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("not tested, because there is no CUDA device: {error}");
            None
        }
    }
}

fn config(pooling: Pooling) -> Config {
    let config: Config = serde_json::from_value(serde_json::json!({
        "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 128, "max_position_embeddings": 64,
    }))
    .unwrap();
    Config { pooling, ..config }
}

/// Pairs in both directions, `[1] a [2] b [2]`, of unequal lengths.
fn batch() -> Batch {
    let sentence = |number: usize| (0..2 + number % 7).map(move |i| 3 + ((number * 37 + i * 11) % 297) as u32);
    let mut batch = Batch::new();
    for row in 0..2 * PAIRS {
        let source: Vec<u32> = [1].into_iter().chain(sentence(row)).chain([2]).collect();
        let ids: Vec<u32> = source.iter().copied().chain(sentence(row ^ 1)).chain([2]).collect();
        let segments: Vec<u8> = (0..ids.len()).map(|i| u8::from(i >= source.len())).collect();
        batch.push(&ids, &segments);
    }
    batch
}

/// What a step leaves, on the host.
struct Stepped {
    generation: f32,
    similarity: f32,
    ranking: f32,
    norm: f64,
    /// What the step added to each parameter.
    moves: Vec<(String, Vec<f32>)>,
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_device(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Takes `steps` steps and returns each.
fn run(network: &Bert, steps: usize) -> Vec<Stepped> {
    let weights = network.weights();
    let mut optimizer = AdamW::new(weights, &OptimizerSettings::default()).unwrap();
    let batch = batch();
    let positives: Vec<[usize; 2]> = (0..2 * PAIRS).map(|row| [row, row ^ 1]).collect();
    let alike = Alike::of_meanings(&(0..2 * PAIRS).map(|row| row / 2).collect::<Vec<_>>());
    let number = |loss: &Tensor| loss.to_scalar::<f32>().unwrap();
    let step = |step: usize| {
        let before: Vec<Vec<f32>> = weights.iter().map(|(_, variable)| numbers(variable)).collect();
        let states = network.forward(&batch, Some(Dropout { rate: 0.1, seed: step as u64 })).unwrap();
        let vectors = network.sentence_vectors(&states, &batch).unwrap();
        let similarity = losses::similarity(&vectors, 30.0, &positives, &alike).unwrap();
        let ranking = losses::ranking(&vectors, 20.0, &positives, &[[0, 2], [4, 7]]).unwrap();
        let generation = losses::generation(network, &states, &batch).unwrap();
        let total = ((&similarity + &ranking).unwrap() + &generation).unwrap();
        let gradients = total.backward().unwrap();
        for (name, variable) in weights.iter() {
            let gradient = gradients.get(variable).unwrap_or_else(|| panic!("`{name}` has no gradient"));
            assert!(
                numbers(gradient).iter().all(|number| number.is_finite()),
                "the gradient of `{name}` is not finite"
            );
        }
        let norm = optimizer.step(weights, &gradients, LEARNING_RATE).unwrap();
        let moves = weights.iter().zip(before).map(|((name, variable), before)| {
            (name.to_owned(), numbers(variable).iter().zip(before).map(|(after, before)| after - before).collect())
        });
        Stepped {
            generation: number(&generation),
            similarity: number(&similarity),
            ranking: number(&ranking),
            norm,
            moves: moves.collect(),
        }
    };
    (0..steps).map(step).collect()
}

/// How far two runs may be apart.
struct Bounds {
    /// Losses and the gradient's length, relative.
    loss: f64,
    norm: f64,
    /// Mean difference of a parameter's moves over the learning rate. Adam's first step moves each number by nearly the
    /// learning rate, whatever the size of its gradient: one that is nearly zero may go the other way.
    moves: f64,
}

fn compare(expected: &Stepped, received: &Stepped, bounds: &Bounds, what: &str) {
    let near = |name: &str, received: f64, expected: f64, bound: f64| {
        let error = (received / expected - 1.0).abs();
        println!("{what}: {name} {received:.6}, on the CPU {expected:.6}");
        assert!(error <= bound, "{what}: {name} is {received}, on the CPU in f32 {expected}");
    };
    near("generation loss", received.generation.into(), expected.generation.into(), bounds.loss);
    near("similarity loss", received.similarity.into(), expected.similarity.into(), bounds.loss);
    near("ranking loss", received.ranking.into(), expected.ranking.into(), bounds.loss);
    near("gradient norm", received.norm, expected.norm, bounds.norm);
    let mut worst = (0.0, "");
    for ((name, expected), (_, received)) in expected.moves.iter().zip(&received.moves) {
        let total: f64 = expected.iter().zip(received).map(|(a, b)| f64::from((a - b).abs())).sum();
        let mean = total / expected.len() as f64 / LEARNING_RATE;
        if mean > worst.0 {
            worst = (mean, name);
        }
    }
    println!("{what}: the moves of `{}` differ by {:.4} of the learning rate", worst.1, worst.0);
    assert!(worst.0 <= bounds.moves, "{what}: the moves of `{}` differ by {} of the learning rate", worst.1, worst.0);
}

/// One step on the CPU in f32, and on `device` as `compute` says.
fn assert_near(device: &Device, compute: Compute, bounds: &Bounds) {
    for pooling in [Pooling::Pooler, Pooling::Mean] {
        let network = |device: &Device| {
            let config = config(pooling);
            let weights = Weights::random(&config, 1, device).unwrap();
            Bert::new(config, weights, device.clone())
        };
        let expected = run(&network(&Device::Cpu), 1);
        let received = run(&network(device).with_compute(compute), 1);
        compare(&expected[0], &received[0], bounds, &format!("{compute:?} with {pooling:?}"));
    }
}

#[test]
fn a_step_in_f32_is_that_of_the_cpu() {
    let Some(device) = gpu() else { return };
    assert_near(&device, Compute::F32, &Bounds { loss: 1e-4, norm: 1e-3, moves: 0.05 });
}

/// The same arithmetic on the CPU is off by 0.2 % in the losses, 0.1 % in the norm, and 0.06 of the learning rate.
#[test]
fn a_step_in_bf16_is_that_of_the_cpu_within_its_rounding() {
    let Some(device) = gpu() else { return };
    assert_near(&device, Compute::Bf16, &Bounds { loss: 0.01, norm: 0.01, moves: 0.15 });
}

#[test]
fn training_in_bf16_learns_as_on_the_cpu() {
    let Some(device) = gpu() else { return };
    let network = |device: &Device| {
        let config = config(Pooling::Pooler);
        let weights = Weights::random(&config, 1, device).unwrap();
        Bert::new(config, weights, device.clone())
    };
    let exact = run(&network(&Device::Cpu), 60);
    let rounded = run(&network(&device).with_compute(Compute::Bf16), 60);
    let total = |steps: &[Stepped], i: usize| steps[i].generation + steps[i].similarity;
    let (start, end, expected) = (total(&rounded, 0), total(&rounded, 59), total(&exact, 59));
    println!("losses from {start} to {end}, on the CPU in f32 to {expected}");
    assert!(end < 0.7 * start && end < 1.2 * expected, "from {start} to {end}, on the CPU in f32 to {expected}");
}
