//! The gradients of one step: the whole batch at once, or in parts that fit into memory.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use super::LossSettings;
use super::losses::{self, Alike};
use crate::Result;
use crate::model::{Bert, Dropout};
use crate::text::Batch;

/// What a batch is held against.
#[derive(Debug)]
pub struct Losses<'a> {
    pub weights: &'a LossSettings,
    /// The first so many sequences take part in all losses but generation.
    pub compared: usize,
    pub positives: &'a [[usize; 2]],
    pub negatives: &'a [[usize; 2]],
    pub alike: &'a Alike,
    /// A teacher's vectors of the compared sequences, and the weight of the relation to them.
    pub taught: Option<(Tensor, f64)>,
}

/// A step before the optimiser moves.
#[derive(Debug)]
pub struct Step {
    pub gradients: GradStore,
    pub generation: f64,
    pub similarity: f64,
    pub ranking: Option<f64>,
    pub relation: Option<f64>,
    /// Sentence vectors of the compared sequences, `[compared, hidden]`.
    pub vectors: Tensor,
}

/// Losses that are functions of the sentence vectors alone.
struct Comparison {
    total: Tensor,
    similarity: f64,
    ranking: Option<f64>,
    relation: Option<f64>,
}

impl Losses<'_> {
    fn compare(&self, vectors: &Tensor) -> Result<Comparison> {
        let weights = self.weights;
        let number = |loss: &Tensor| -> Result<f64> { Ok(f64::from(loss.to_scalar::<f32>()?)) };
        let loss = losses::similarity(vectors, weights.scale, self.positives, self.alike)?;
        let similarity = number(&loss)?;
        let mut total = (loss * weights.similarity)?;
        let (mut ranking, mut relation) = (None, None);
        if weights.ranking > 0.0 && !self.negatives.is_empty() {
            let loss = losses::ranking(vectors, weights.ranking_scale, self.positives, self.negatives)?;
            ranking = Some(number(&loss)?);
            total = (total + (loss * weights.ranking)?)?;
        }
        if let Some((taught, weight)) = &self.taught {
            let loss = losses::relation(vectors, taught)?;
            relation = Some(number(&loss)?);
            total = (total + (loss * *weight)?)?;
        }
        Ok(Comparison { total, similarity, ranking, relation })
    }
}

/// The gradients of all losses. With `micro`, at most so many sequences pass through the network at a time: a first pass
/// gives all sentence vectors, the comparison of them the gradient of each vector, and a second pass carries those back
/// into the network, part by part (GradCache, Gao et al. 2021). The result is that of the whole batch.
///
/// # Errors
/// There is nothing to compare, or the device fails.
pub fn gradients(
    network: &Bert,
    batch: &Batch,
    losses: &Losses<'_>,
    dropout: Option<Dropout>,
    micro: Option<usize>,
) -> Result<Step> {
    let size = micro.unwrap_or(batch.len()).min(batch.len());
    let parts: Vec<Part> = (0..batch.len()).step_by(size).map(|first| Part::of(batch, first, size, losses)).collect();
    // Each part has dropout masks of its own, the same in both passes.
    let dropout = |part: &Part| {
        dropout.map(|dropout| Dropout { seed: dropout.seed ^ (part.first as u64).wrapping_mul(0x9E37_79B9), ..dropout })
    };
    let targets: usize = parts.iter().map(|part| part.targets).sum();
    let written = losses.weights.generation > 0.0 && targets > 0;
    let generation = |states: &Tensor, part: &Part| -> Result<Option<Tensor>> {
        if !written || part.targets == 0 {
            return Ok(None);
        }
        let loss = losses::generation(network, states, &part.batch)?;
        Ok(Some((loss * (part.targets as f64 / targets as f64))?))
    };
    if let [part] = &parts[..] {
        let states = network.forward(&part.batch, dropout(part))?;
        let vectors = network.sentence_vectors(&states, &part.batch)?.narrow(0, 0, losses.compared)?;
        let Comparison { mut total, similarity, ranking, relation } = losses.compare(&vectors)?;
        let mut written = 0.0;
        if let Some(loss) = generation(&states, part)? {
            written = f64::from(loss.to_scalar::<f32>()?);
            total = (total + (loss * losses.weights.generation)?)?;
        }
        let gradients = total.backward()?;
        return Ok(Step { gradients, generation: written, similarity, ranking, relation, vectors: vectors.detach() });
    }
    let mut vectors = Vec::with_capacity(parts.len());
    for part in parts.iter().filter(|part| part.compared > 0) {
        let states = network.forward(&part.batch, dropout(part))?.detach();
        vectors.push(network.sentence_vectors(&states, &part.batch)?.narrow(0, 0, part.compared)?.detach());
    }
    let vectors = Var::from_tensor(&Tensor::cat(&vectors, 0)?)?;
    let Comparison { total, similarity, ranking, relation } = losses.compare(&vectors)?;
    let mut first = total.backward()?;
    let pull = first.remove(&vectors).map_or_else(|| vectors.zeros_like(), Ok)?;
    let mut sum: Option<GradStore> = None;
    let mut total_written = 0.0;
    for part in &parts {
        let states = network.forward(&part.batch, dropout(part))?;
        let mut terms = Vec::new();
        if part.compared > 0 {
            let own = network.sentence_vectors(&states, &part.batch)?.narrow(0, 0, part.compared)?;
            terms.push((own * pull.narrow(0, part.first, part.compared)?)?.sum_all()?);
        }
        if let Some(loss) = generation(&states, part)? {
            total_written += f64::from(loss.to_scalar::<f32>()?);
            terms.push((loss * losses.weights.generation)?);
        }
        let Some(total) = terms.into_iter().map(Ok).reduce(|a, b| a? + b?).transpose()? else { continue };
        let gradients = total.backward()?;
        sum = Some(match sum {
            None => gradients,
            Some(sum) => add(sum, gradients, network)?,
        });
    }
    let gradients = sum.unwrap_or(first);
    let vectors = vectors.as_detached_tensor();
    Ok(Step { gradients, generation: total_written, similarity, ranking, relation, vectors })
}

/// Some sequences of a batch, one after the other.
struct Part {
    batch: Batch,
    first: usize,
    /// How many of them are compared.
    compared: usize,
    /// Tokens to be written.
    targets: usize,
}

impl Part {
    fn of(whole: &Batch, first: usize, size: usize, losses: &Losses<'_>) -> Self {
        let mut batch = Batch::new();
        for row in first..(first + size).min(whole.len()) {
            batch.push(whole.ids_of(row), whole.segments_of(row));
        }
        let compared = losses.compared.saturating_sub(first).min(batch.len());
        let targets = losses::predictions(&batch).0.len();
        Self { batch, first, compared, targets }
    }
}

/// The sum of two gradients of the network's parameters.
fn add(mut sum: GradStore, mut more: GradStore, network: &Bert) -> Result<GradStore> {
    for (_, variable) in network.weights().iter() {
        if let Some(gradient) = more.remove(variable) {
            let whole = match sum.get(variable) {
                Some(gathered) => (gathered + gradient)?,
                None => gradient,
            };
            sum.insert(variable, whole);
        }
    }
    Ok(sum)
}
