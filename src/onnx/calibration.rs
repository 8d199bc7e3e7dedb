//! How large the activations get that int8 products read, by channel.
//!
//! A few channels of a BERT are tens of times larger than the rest, always the same ones, whatever it reads. So the
//! network reads random tokens from its own vocabulary, as pairs under UniLM's mask, and no text is needed: on a
//! trained model that served as well as text of one domain, which left out what others stir up.
//!
//! Only what a layer normalisation gives is balanced. The outputs of attention and GELU gained nothing by it: their
//! large numbers come from single tokens, which have steps of their own.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::quantise::balance;
use crate::Result;
use crate::model::ops::{self, AttentionLayout};
use crate::model::{Compute, Config, ModelDirectory, Weights};
use crate::text::{Batch, Tokenizer};

/// Pairs that are read.
const PAIRS: usize = 64;
/// Most random tokens in each half of a pair.
const MOST_TOKENS: usize = 30;
const SEED: u64 = 1;

/// For each group of matrices that read the same: what its input channels are to be divided by, `[in]`.
pub type Balances = BTreeMap<String, Vec<f32>>;

/// Reads random pairs with the model of `directory`.
///
/// # Errors
/// A file cannot be read or is not what `config` describes.
pub fn calibrate(directory: &ModelDirectory, config: &Config) -> Result<Balances> {
    let (weights, _) = Weights::load(&directory.weights_path(), config, &Device::Cpu)?;
    let batch = pairs(config, &Tokenizer::from_file(directory.tokenizer_path())?);
    let sources = (0..batch.len()).map(|row| batch.source_length(row)).collect();
    let layout = AttentionLayout::new(batch.offsets.clone(), sources, config.num_attention_heads)?;
    let dense = |name: &str| -> Result<(Tensor, Tensor)> {
        // Detached, so that nothing is kept for gradients.
        Ok((weights.get(&format!("{name}.weight"))?.detach(), weights.get(&format!("{name}.bias"))?.detach()))
    };
    let mut balances = Balances::new();
    let mut x = embed(&batch, &weights, config)?;
    for layer in 0..config.num_hidden_layers {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let norm = |new: &Tensor, old: &Tensor, part: &str| {
            let (weight, bias) = dense(&name(part))?;
            ops::residual_layer_norm(new, old, &weight, &bias, config.layer_norm_eps)
        };
        let (weight, bias) = dense(&name("attention.self.qkv"))?;
        balances.insert(name("attention.self"), balance(&largest(&x)?, &largest(&weight)?));
        let mixed = ops::self_attention(&x, &weight, &bias, &layout, Compute::F32)?;
        let (weight, bias) = dense(&name("attention.output.dense"))?;
        x = norm(&ops::linear(&mixed, &weight, &bias, Compute::F32)?, &x, "attention.output.LayerNorm")?;
        let (weight, bias) = dense(&name("intermediate.dense"))?;
        balances.insert(name("intermediate.dense"), balance(&largest(&x)?, &largest(&weight)?));
        let wide = ops::linear_gelu(&x, &weight, &bias, Compute::F32)?;
        let (weight, bias) = dense(&name("output.dense"))?;
        x = norm(&ops::linear(&wide, &weight, &bias, Compute::F32)?, &x, "output.LayerNorm")?;
    }
    Ok(balances)
}

fn embed(batch: &Batch, weights: &Weights, config: &Config) -> Result<Tensor> {
    let positions: Vec<u32> = (0..batch.len()).flat_map(|row| 0..batch.ids_of(row).len() as u32).collect();
    let segments: Vec<u32> = batch.segments.iter().map(|&segment| u32::from(segment)).collect();
    let look_up = |name: &str, ids: &[u32]| -> Result<Tensor> {
        let table = weights.get(&format!("embeddings.{name}_embeddings.weight"))?.detach();
        ops::embedding(&table, &Tensor::new(ids, &Device::Cpu)?)
    };
    let sum = ((look_up("word", &batch.ids)? + look_up("position", &positions)?)? + look_up("token_type", &segments)?)?;
    let weight = weights.get("embeddings.LayerNorm.weight")?.detach();
    let bias = weights.get("embeddings.LayerNorm.bias")?.detach();
    ops::layer_norm(&sum, &weight, &bias, config.layer_norm_eps)
}

/// `[CLS] a [SEP] b [SEP]` with random tokens for a and b.
fn pairs(config: &Config, tokenizer: &Tokenizer) -> Batch {
    let special = tokenizer.special();
    let most = MOST_TOKENS.min((config.max_position_embeddings.saturating_sub(3) / 2).max(1));
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut batch = Batch::new();
    for _ in 0..PAIRS {
        let mut tokens = || {
            let count = random.random_range(1..=most);
            (0..count).map(|_| random.random_range(0..config.vocab_size as u32)).collect::<Vec<_>>()
        };
        let source = [&[special.cls], &tokens()[..], &[special.sep]].concat();
        let target = [&tokens()[..], &[special.sep]].concat();
        batch.push(&[&source[..], &target].concat(), &[vec![0; source.len()], vec![1; target.len()]].concat());
    }
    batch
}

/// The largest size in each column of a matrix.
fn largest(matrix: &Tensor) -> Result<Vec<f32>> {
    Ok(matrix.abs()?.max(0)?.to_vec1()?)
}
