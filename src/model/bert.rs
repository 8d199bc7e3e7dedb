//! BERT with the UniLM mask, over packed sequences: tokens of all sequences one after the other, no padding.

use candle_core::{D, DType, Device, Tensor};

use super::ops::{self, AttentionLayout};
use super::{Compute, Config, Pooling, Weights};
use crate::text::Batch;
use crate::{Error, Result};

/// Dropout of one training step: the rate, and the seed all its masks come from.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Probability that a number is dropped, in `[0, 1)`.
    pub rate: f64,
    pub seed: u64,
}

/// The network: a post-LayerNorm BERT, its pooler, and a language-model head tied to the word embeddings.
#[derive(Debug, Clone)]
pub struct Bert {
    config: Config,
    weights: Weights,
    device: Device,
    compute: Compute,
    /// Type of the numbers between the layers.
    states: DType,
    /// How many layers, from the first, learn nothing; the embeddings neither where it is not 0.
    frozen: usize,
}

impl Bert {
    /// Puts weights behind a shape. Products are in f32.
    pub fn new(config: Config, weights: Weights, device: Device) -> Self {
        Self { config, weights, device, compute: Compute::F32, states: DType::F32, frozen: 0 }
    }

    /// The same network, its matrix products computed otherwise.
    pub fn with_compute(self, compute: Compute) -> Self {
        match compute {
            Compute::Bf16 if !self.device.is_cpu() => Self { compute, ..self }.with_bf16_states(),
            _ => Self { compute, states: DType::F32, ..self },
        }
    }

    /// The same network, its states in bf16 between the operators, as [`Compute::Bf16`] has them on a GPU. On the CPU
    /// that is slow, and shows what a GPU would compute.
    pub fn with_bf16_states(self) -> Self {
        Self { states: DType::BF16, ..self }
    }

    /// The same network, no gradient of which goes into the embeddings and the first `frozen` layers; 0 freezes nothing.
    pub fn with_frozen(self, frozen: usize) -> Self {
        Self { frozen, ..self }
    }

    /// The same network with other parameters of the same shapes.
    pub fn with_weights(&self, weights: Weights) -> Self {
        Self { weights, ..self.clone() }
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The parameters.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// How matrix products are computed.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// Where the parameters are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// States of the last layer, `[tokens, hidden]`, in the order of `batch`, f32 or bf16. A token of segment 0 sees its
    /// sequence's tokens of segment 0; one of segment 1 sees those and the tokens of segment 1 up to itself.
    ///
    /// # Errors
    /// The batch is empty, longer than the positions, has an id past the vocabulary, or the device fails.
    pub fn forward(&self, batch: &Batch, dropout: Option<Dropout>) -> Result<Tensor> {
        self.check(batch)?;
        let sources = (0..batch.len()).map(|row| batch.source_length(row)).collect();
        let layout = AttentionLayout::new(batch.offsets.clone(), sources, self.config.num_attention_heads)?;
        let mut drops = Drops { dropout, count: 0 };
        let mut states = self.embed(batch, &mut drops)?;
        for layer in 0..self.config.num_hidden_layers {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            let (weight, bias) = self.dense(&name("attention.self.qkv"))?;
            let mixed = ops::self_attention(&states, weight, bias, &layout, self.compute)?;
            let mixed = self.linear(&mixed, &name("attention.output.dense"))?;
            states = self.add_and_norm(&mixed, &states, &name("attention.output.LayerNorm"), &mut drops)?;
            let wide = self.linear_gelu(&states, &name("intermediate.dense"))?;
            let narrow = self.linear(&wide, &name("output.dense"))?;
            states = self.add_and_norm(&narrow, &states, &name("output.LayerNorm"), &mut drops)?;
            if layer + 1 == self.frozen {
                states = states.detach();
            }
        }
        Ok(states)
    }

    /// Sentence vectors `[sequences, hidden]` from the last layer's states, by the configured pooling, l2-normalised.
    /// Only source tokens count. f32, and computed in f32.
    ///
    /// # Errors
    /// The device fails.
    pub fn sentence_vectors(&self, states: &Tensor, batch: &Batch) -> Result<Tensor> {
        let wide = |states: &Tensor| states.to_dtype(DType::F32);
        let pooled = match self.config.pooling {
            Pooling::Mean => {
                // One product instead of a mean for each row: a slice's gradient is as large as all the states.
                let mut weights = vec![0f32; batch.len() * batch.tokens()];
                for row in 0..batch.len() {
                    let (first, source) = (batch.offsets[row], batch.source_length(row));
                    weights[row * batch.tokens() + first..][..source].fill(1.0 / source as f32);
                }
                Tensor::from_vec(weights, (batch.len(), batch.tokens()), &self.device)?.matmul(&wide(states)?)?
            }
            Pooling::Cls | Pooling::Pooler => {
                let first: Vec<u32> = batch.offsets[..batch.len()].iter().map(|&offset| offset as u32).collect();
                let first = wide(&states.index_select(&Tensor::new(first, &self.device)?, 0)?)?;
                match self.config.pooling {
                    Pooling::Pooler => self.linear(&first, "pooler.dense")?,
                    _ => first,
                }
            }
        };
        let norm = (pooled.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
        Ok(pooled.broadcast_div(&norm)?)
    }

    /// What the language-model head compares with the word embeddings, `[rows, hidden]`, in the type of the states.
    ///
    /// # Errors
    /// The device fails.
    pub fn head(&self, states: &Tensor) -> Result<Tensor> {
        let transformed = self.linear_gelu(states, "cls.predictions.transform.dense")?;
        self.layer_norm(&transformed, "cls.predictions.transform.LayerNorm")
    }

    /// The word embeddings that the head compares with.
    ///
    /// # Errors
    /// The weights lack them.
    pub fn tied_table(&self) -> Result<Tensor> {
        let table = self.weights.get("embeddings.word_embeddings.weight")?;
        Ok(if self.frozen > 0 { table.detach() } else { table.clone() })
    }

    /// Logits over the vocabulary, `[rows, vocabulary]`, of some rows of states; f32.
    ///
    /// # Errors
    /// The device fails.
    pub fn logits(&self, states: &Tensor) -> Result<Tensor> {
        let bias = self.weights.get("cls.predictions.bias")?;
        Ok(ops::linear(&self.head(states)?, &self.tied_table()?, bias, self.compute)?.to_dtype(DType::F32)?)
    }

    fn embed(&self, batch: &Batch, drops: &mut Drops) -> Result<Tensor> {
        let positions: Vec<u32> = (0..batch.len()).flat_map(|row| 0..batch.ids_of(row).len() as u32).collect();
        let segments: Vec<u32> = batch.segments.iter().map(|&segment| u32::from(segment)).collect();
        let look_up = |name: &str, ids: &[u32]| -> Result<Tensor> {
            let table = self.weights.get(&format!("embeddings.{name}_embeddings.weight"))?;
            ops::embedding(table, &Tensor::new(ids, &self.device)?)
        };
        let sum =
            ((look_up("word", &batch.ids)? + look_up("position", &positions)?)? + look_up("token_type", &segments)?)?;
        let normed = self.layer_norm(&sum, "embeddings.LayerNorm")?;
        let (rate, seed) = drops.next();
        Ok(ops::dropout(&normed, rate, seed)?.to_dtype(self.states)?)
    }

    /// Weight and bias of a dense layer or a normalisation.
    fn dense(&self, name: &str) -> Result<(&Tensor, &Tensor)> {
        Ok((self.weights.get(&format!("{name}.weight"))?, self.weights.get(&format!("{name}.bias"))?))
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let (weight, bias) = self.dense(name)?;
        ops::linear(x, weight, bias, self.compute)
    }

    fn linear_gelu(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let (weight, bias) = self.dense(name)?;
        ops::linear_gelu(x, weight, bias, self.compute)
    }

    fn layer_norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let (weight, bias) = self.dense(name)?;
        ops::layer_norm(x, weight, bias, self.config.layer_norm_eps)
    }

    /// What ends each half of a layer: `layer_norm(dropout(x) + residual)`.
    fn add_and_norm(&self, x: &Tensor, residual: &Tensor, name: &str, drops: &mut Drops) -> Result<Tensor> {
        let (weight, bias) = self.dense(name)?;
        let (rate, seed) = drops.next();
        ops::dropout_residual_layer_norm(x, residual, weight, bias, self.config.layer_norm_eps, rate, seed)
    }

    fn check(&self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Err(Error::invalid("batch", "at least one sequence", "none"));
        }
        if batch.width() > self.config.max_position_embeddings {
            return Err(Error::invalid(
                "sequence",
                format!("at most the {} positions of the network", self.config.max_position_embeddings),
                format!("{} tokens", batch.width()),
            ));
        }
        match batch.ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            Some(id) => Err(Error::invalid("token id", format!("less than {}", self.config.vocab_size), id)),
            None => Ok(()),
        }
    }
}

/// Gives each dropout of a forward pass its own seed.
struct Drops {
    dropout: Option<Dropout>,
    count: u64,
}

impl Drops {
    /// Rate and seed of the next dropout; rate 0 leaves its input alone.
    fn next(&mut self) -> (f64, u64) {
        self.count += 1;
        self.dropout
            .map_or((0.0, 0), |Dropout { rate, seed }| (rate, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.count))
    }
}
