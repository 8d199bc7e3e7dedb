//! SimBERT's two losses.

use candle_core::{D, DType, Tensor};

use crate::model::{Bert, ops};
use crate::text::Batch;
use crate::{Error, Result};

/// Similarity: in-batch softmax over cosines. Row i's positive is row i xor 1, every other row is a negative.
///
/// `vectors` are unit vectors `[sequences, hidden]`, the number of sequences even. Returns
/// `mean_i CE(softmax(scale · (V Vᵀ − ∞ I))_i, i xor 1)`; at chance that is `ln(sequences − 1)`.
///
/// # Errors
/// The number of sequences is odd or below 4, or the device fails.
pub fn similarity(vectors: &Tensor, scale: f64) -> Result<Tensor> {
    let (rows, device) = (vectors.dim(0)?, vectors.device());
    if rows < 4 || rows % 2 == 1 {
        return Err(Error::invalid("batch of the similarity loss", "two or more pairs in both directions", rows));
    }
    // A finite stand-in for −∞: e^(−1e4) is 0 in f32, and 0 · ∞ can't arise in the backward pass.
    let diagonal = (Tensor::eye(rows, DType::F32, device)? * -1e4)?;
    let logits = ((vectors.matmul(&vectors.t()?)? * scale)? + diagonal)?;
    let targets: Vec<u32> = (0..rows as u32).map(|row| row ^ 1).collect();
    ops::cross_entropy(&logits, &Tensor::new(targets, device)?)
}

/// Generation: cross-entropy of each target token and the closing `[SEP]`, given the source and the target tokens
/// before it; one mean over all of them. At chance that is `ln(vocabulary)`.
///
/// `states` are the last layer's, `[tokens, hidden]`.
///
/// # Errors
/// No sequence has a target, or the device fails.
pub fn generation(network: &Bert, states: &Tensor, batch: &Batch) -> Result<Tensor> {
    let (rows, targets) = predictions(batch);
    if rows.is_empty() {
        return Err(Error::invalid("batch of the generation loss", "at least one target token", "none"));
    }
    let device = states.device();
    let head = network.head(&states.index_select(&Tensor::new(rows, device)?, 0)?)?;
    let weights = network.weights();
    ops::tied_cross_entropy(
        &head,
        weights.get("embeddings.word_embeddings.weight")?,
        weights.get("cls.predictions.bias")?,
        &Tensor::new(targets, device)?,
    )
}

/// Which row of states predicts which token: the token before each target token predicts it, the source's `[SEP]`
/// the first.
pub fn predictions(batch: &Batch) -> (Vec<u32>, Vec<u32>) {
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for row in 0..batch.len() {
        for token in batch.offsets[row] + 1..batch.offsets[row + 1] {
            if batch.segments[token] == 1 {
                rows.push(token as u32 - 1);
                targets.push(batch.ids[token]);
            }
        }
    }
    (rows, targets)
}

/// Number of right guesses among the nearest neighbours of `vectors`: how often row i's nearest is row i xor 1.
///
/// # Errors
/// The device fails.
pub fn in_batch_accuracy(vectors: &Tensor) -> Result<f64> {
    let rows = vectors.dim(0)?;
    let itself = (Tensor::eye(rows, DType::F32, vectors.device())? * 4.0)?;
    let nearest = (vectors.matmul(&vectors.t()?)? - itself)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let right = nearest.iter().enumerate().filter(|&(row, &guess)| row as u32 ^ 1 == guess).count();
    Ok(right as f64 / rows as f64)
}
