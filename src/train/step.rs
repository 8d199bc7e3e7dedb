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
            let loss =
                losses::ranking(vectors, weights.ranking_form, weights.ranking_scale, self.positives, self.negatives)?;
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
    let mut sum = total.backward()?;
    let pull = sum.remove(&vectors).map_or_else(|| vectors.zeros_like(), Ok)?.detach();
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
        add(&mut sum, total.backward()?, network)?;
    }
    let vectors = vectors.as_detached_tensor();
    Ok(Step { gradients: sum, generation: total_written, similarity, ranking, relation, vectors })
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

/// Adds a part's gradients of the network's parameters. The sum remembers nothing of what they were made from: candle's
/// gradients do, and would keep the states of each part in memory.
fn add(sum: &mut GradStore, mut part: GradStore, network: &Bert) -> Result<()> {
    for (_, variable) in network.weights().iter() {
        if let Some(gradient) = part.remove(variable) {
            let gradient = gradient.detach();
            let whole = match sum.get(variable) {
                Some(gathered) => (gathered + gradient)?,
                None => gradient,
            };
            sum.insert(variable, whole);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::model::{Config, Pooling, Weights};
    use crate::train::{AdamW, OptimizerSettings};

    const PAIRS: usize = 6;

    fn network(pooling: Pooling) -> Bert {
        let config: Config = serde_json::from_value(serde_json::json!({
            "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 64, "max_position_embeddings": 32,
        }))
        .unwrap();
        let config = Config { pooling, ..config };
        let weights = Weights::random(&config, 1, &Device::Cpu).unwrap();
        Bert::new(config, weights, Device::Cpu)
    }

    /// Pairs in both directions: `[1] a [2] b [2]`, each sentence of tokens that hardly any other has.
    fn batch() -> Batch {
        let sentence = |number: usize| (0..2 + number % 4).map(move |i| 3 + ((number * 17 + i * 5) % 57) as u32);
        let mut batch = Batch::new();
        for row in 0..2 * PAIRS {
            let source: Vec<u32> = [1].into_iter().chain(sentence(row)).chain([2]).collect();
            let ids: Vec<u32> = source.iter().copied().chain(sentence(row ^ 1)).chain([2]).collect();
            let segments: Vec<u8> = (0..ids.len()).map(|i| u8::from(i >= source.len())).collect();
            batch.push(&ids, &segments);
        }
        batch
    }

    fn step(network: &Bert, micro: Option<usize>) -> Step {
        let rows = 2 * PAIRS;
        let positives: Vec<[usize; 2]> = (0..rows).map(|row| [row, row ^ 1]).collect();
        let taught: Vec<f32> = (0..rows * 3).map(|i| (i as f32 * 0.7).sin()).collect();
        let losses = Losses {
            weights: &LossSettings { ranking: 0.5, ..LossSettings::default() },
            compared: rows,
            positives: &positives,
            negatives: &[[0, 2], [4, 7]],
            alike: &Alike::of_meanings(&(0..rows).map(|row| row / 2).collect::<Vec<_>>()),
            taught: Some((Tensor::from_vec(taught, (rows, 3), &Device::Cpu).unwrap(), 0.5)),
        };
        gradients(network, &batch(), &losses, Some(Dropout { rate: 0.1, seed: 7 }), micro).unwrap()
    }

    fn norm(x: &Tensor) -> f32 {
        x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt()
    }

    fn losses_of(step: &Step) -> [f64; 4] {
        [step.generation, step.similarity, step.ranking.unwrap(), step.relation.unwrap()]
    }

    /// What a GPU computes with `compute = "bf16"`, on the CPU.
    #[test]
    fn bf16_states_give_the_losses_and_gradients_of_f32_within_their_rounding() {
        for (pooling, micro) in [(Pooling::Pooler, None), (Pooling::Mean, None), (Pooling::Cls, Some(5))] {
            let exact = network(pooling);
            let (expected, received) = (step(&exact, micro), step(&exact.clone().with_bf16_states(), micro));
            for (expected, received) in losses_of(&expected).into_iter().zip(losses_of(&received)) {
                assert!((received / expected - 1.0).abs() < 0.02, "{pooling:?}: {received}, in f32 {expected}");
                assert!(received != expected, "{pooling:?}: {received} was not computed in bf16");
            }
            for (name, variable) in exact.weights().iter() {
                let gradient = received.gradients.get(variable).unwrap_or_else(|| panic!("`{name}` has no gradient"));
                assert_eq!(gradient.dtype(), DType::F32, "{name}");
                let expected = expected.gradients.get(variable).unwrap();
                let error = norm(&(gradient - expected).unwrap()) / norm(expected);
                assert!(error < 0.05, "{pooling:?}: the gradient of `{name}` is off by {error}");
            }
        }
    }

    #[test]
    fn the_gradients_of_parts_keep_no_states_alive() {
        let network = network(Pooling::Pooler).with_bf16_states();
        let step = step(&network, Some(5));
        for (name, variable) in network.weights().iter() {
            assert!(!step.gradients.get(variable).unwrap().track_op(), "{name}");
        }
    }

    #[test]
    fn bf16_states_learn_as_f32_does() {
        let run = |bf16: bool| {
            let network = network(Pooling::Pooler);
            let network = if bf16 { network.with_bf16_states() } else { network };
            let settings = OptimizerSettings::default();
            let mut optimizer = AdamW::new(network.weights(), &settings).unwrap();
            let mut losses = Vec::new();
            for _ in 0..80 {
                let step = step(&network, None);
                optimizer.step(network.weights(), &step.gradients, 3e-3).unwrap();
                losses.push(losses_of(&step));
            }
            losses
        };
        let (exact, rounded) = (run(false), run(true));
        let totals = |run: Vec<[f64; 4]>| run.iter().map(|losses| losses[0] + losses[1]).collect::<Vec<_>>();
        let (exact, rounded) = (totals(exact), totals(rounded));
        let (start, end) = (rounded[0], rounded[79]);
        assert!(end < 0.05 * start, "the losses went from {start} to {end}");
        // Over the steps, not at one of them: near the end the losses are small, and rounding moves single ones by a third.
        let times_exact = |from: usize| rounded[from..].iter().sum::<f64>() / exact[from..].iter().sum::<f64>();
        let (whole, last) = (times_exact(0), times_exact(60));
        assert!(
            whole < 1.05 && last < 1.3,
            "the losses are {whole} times those in f32, {last} times in the last steps"
        );
    }
}
