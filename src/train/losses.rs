//! SimBERT's two losses.

use candle_core::{D, DType, Tensor};

use crate::model::{Bert, ops};
use crate::text::Batch;
use crate::{Error, Result};

/// Similarity: in-batch softmax over cosines. Row i's positive is row i xor 1, every other row is a negative.
///
/// `vectors` are unit vectors `[sequences, hidden]`, the number of sequences even. Returns
/// `mean_i CE(softmax(scale · (V Vᵀ − ∞ I))_i, i xor 1)`; at chance that is `ln(sequences − 1)`. Where `same` is given,
/// `[sequences, sequences]`, two rows with a 1 are no negatives of each other; see [`same`].
///
/// # Errors
/// The number of sequences is odd or below 4, or the device fails.
pub fn similarity(vectors: &Tensor, scale: f64, same: Option<&Tensor>) -> Result<Tensor> {
    let (rows, device) = (vectors.dim(0)?, vectors.device());
    if rows < 4 || rows % 2 == 1 {
        return Err(Error::invalid("batch of the similarity loss", "two or more pairs in both directions", rows));
    }
    // A finite stand-in for −∞: e^(−1e4) is 0 in f32, and 0 · ∞ can't arise in the backward pass.
    let mut left_out = Tensor::eye(rows, DType::F32, device)?;
    if let Some(same) = same {
        left_out = (left_out + same)?;
    }
    let logits = ((vectors.matmul(&vectors.t()?)? * scale)? + (left_out * -1e4)?)?;
    let targets: Vec<u32> = (0..rows as u32).map(|row| row ^ 1).collect();
    ops::cross_entropy(&logits, &Tensor::new(targets, device)?)
}

/// Which rows a teacher holds for the same question though they are no pair: 1 where the cosine of two of its
/// `vectors` `[sequences, width]` is above `above`, else 0; 0 for a row with itself and with its positive.
///
/// # Errors
/// The device fails.
pub fn same(vectors: &Tensor, above: f64) -> Result<Tensor> {
    let rows = vectors.dim(0)?;
    let mut alike = vectors.matmul(&vectors.t()?)?.to_vec2::<f32>()?;
    for (i, row) in alike.iter_mut().enumerate() {
        for (j, cosine) in row.iter_mut().enumerate() {
            let pair = i == j || i == j ^ 1;
            *cosine = if !pair && f64::from(*cosine) > above { 1.0 } else { 0.0 };
        }
    }
    Ok(Tensor::from_vec(alike.concat(), (rows, rows), vectors.device())?)
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
        network.compute(),
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

/// Relation: how far the student's cosines are from a linear function of the teacher's, sentence by sentence.
///
/// Both are unit vectors, `[sequences, any width]`. Returns the mean over rows i of 1 − Pearson correlation of the two
/// cosines of i with every other row: 0 when the teacher's order and spacing are kept, whatever their offset and
/// range (Huang et al. 2022, *Knowledge distillation from a stronger teacher*, over sentences instead of classes).
///
/// # Errors
/// There are fewer than 3 rows, or the device fails.
pub fn relation(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    let (rows, device) = (student.dim(0)?, student.device());
    if rows < 3 {
        return Err(Error::invalid("batch of the relation loss", "three or more sequences", rows));
    }
    let others = (1.0 - Tensor::eye(rows, DType::F32, device)?)?;
    let centred = |vectors: &Tensor| -> Result<Tensor> {
        let cosines = (vectors.matmul(&vectors.t()?)? * &others)?;
        let mean = (cosines.sum_keepdim(D::Minus1)? / (rows - 1) as f64)?;
        Ok((cosines.broadcast_sub(&mean)? * &others)?)
    };
    let (student, teacher) = (centred(student)?, centred(&teacher.detach())?);
    let lengths = (student.sqr()?.sum(D::Minus1)? * teacher.sqr()?.sum(D::Minus1)?)?;
    let correlation = ((student * teacher)?.sum(D::Minus1)? / (lengths + 1e-12)?.sqrt()?)?;
    Ok((1.0 - correlation.mean_all()?)?)
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
