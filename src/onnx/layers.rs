//! The layers that encoder and decoder share: post-LayerNorm BERT.

use super::graph::{GraphBuilder, Value};
use super::proto::Attribute;
use crate::Result;
use crate::model::Config;

/// Writes layers of one network into one graph.
pub struct Layers<'g, 'w> {
    pub graph: &'g mut GraphBuilder<'w>,
    pub config: &'g Config,
}

/// Queries, keys and values of one layer, each `[batch, heads, tokens, head]`.
pub struct Heads {
    pub query: Value,
    pub key: Value,
    pub value: Value,
}

impl Layers<'_, '_> {
    /// `x · W + b` over the last dimension.
    pub fn linear(&mut self, x: &Value, name: &str) -> Result<Value> {
        let weight = self.graph.weight(&format!("{name}.weight"))?;
        let bias = self.graph.weight(&format!("{name}.bias"))?;
        let product = self.graph.op("MatMul", &[x, &weight], &[]);
        Ok(self.graph.op("Add", &[&product, &bias], &[]))
    }

    /// Layer normalisation over the last dimension.
    pub fn norm(&mut self, x: &Value, name: &str) -> Result<Value> {
        let weight = self.graph.weight(&format!("{name}.weight"))?;
        let bias = self.graph.weight(&format!("{name}.bias"))?;
        let epsilon = Attribute::float("epsilon", self.config.layer_norm_eps as f32);
        Ok(self.graph.op("LayerNormalization", &[x, &weight, &bias], &[Attribute::int("axis", -1), epsilon]))
    }

    /// GELU by erf.
    pub fn gelu(&mut self, x: &Value) -> Value {
        self.graph.op("Gelu", &[x], &[])
    }

    /// Word + position + segment, normalised: `ids` is `[batch, tokens]`, `positions` and `segments` are embedding
    /// rows that broadcast to `[batch, tokens, hidden]`.
    pub fn embed(&mut self, ids: &Value, positions: &Value, segments: &Value) -> Result<Value> {
        let table = self.graph.weight("embeddings.word_embeddings.weight")?;
        let words = self.graph.op("Gather", &[&table, ids], &[]);
        let place = self.graph.op("Add", &[positions, segments], &[]);
        let sum = self.graph.op("Add", &[&words, &place], &[]);
        self.norm(&sum, "embeddings.LayerNorm")
    }

    /// The heads of layer `layer`, queries from `queries` and the rest from `x`, both `[batch, tokens, hidden]`.
    pub fn heads(&mut self, layer: usize, queries: &Value, x: &Value) -> Result<Heads> {
        let mut part = |from: &Value, name: &str| -> Result<Value> {
            let projected = self.linear(from, &format!("encoder.layer.{layer}.attention.self.{name}"))?;
            let shape =
                self.graph.ints(&[0, 0, self.config.num_attention_heads as i64, self.config.head_size() as i64]);
            let split = self.graph.op("Reshape", &[&projected, &shape], &[]);
            Ok(self.swap_tokens_and_heads(&split))
        };
        Ok(Heads { query: part(queries, "query")?, key: part(x, "key")?, value: part(x, "value")? })
    }

    /// `q · kᵀ`, not yet scaled: `[batch, heads, queries, keys]`.
    pub fn products(&mut self, query: &Value, key: &Value) -> Value {
        let turned = self.graph.op("Transpose", &[key], &[Attribute::ints("perm", &[0, 1, 3, 2])]);
        self.graph.op("MatMul", &[query, &turned], &[])
    }

    /// Divides `products` by the root of a head's width.
    pub fn scaled(&mut self, products: &Value) -> Value {
        let scale = self.graph.float((self.config.head_size() as f32).sqrt().recip());
        self.graph.op("Mul", &[products, &scale], &[])
    }

    /// What follows attention in layer `layer`: `context` is `[batch, heads, tokens, head]`, `residual` and the
    /// result are `[batch, tokens, hidden]`.
    pub fn after_attention(&mut self, layer: usize, context: &Value, residual: &Value) -> Result<Value> {
        let prefix = format!("encoder.layer.{layer}");
        let rows = self.swap_tokens_and_heads(context);
        let shape = self.graph.ints(&[0, 0, self.config.hidden_size as i64]);
        let joined = self.graph.op("Reshape", &[&rows, &shape], &[]);
        let attended = self.linear(&joined, &format!("{prefix}.attention.output.dense"))?;
        let sum = self.graph.op("Add", &[&attended, residual], &[]);
        let attended = self.norm(&sum, &format!("{prefix}.attention.output.LayerNorm"))?;
        let inner = self.linear(&attended, &format!("{prefix}.intermediate.dense"))?;
        let inner = self.gelu(&inner);
        let outer = self.linear(&inner, &format!("{prefix}.output.dense"))?;
        let sum = self.graph.op("Add", &[&outer, &attended], &[]);
        self.norm(&sum, &format!("{prefix}.output.LayerNorm"))
    }

    /// Rows `from..to` of the tokens of `x`, `[batch, tokens, hidden]`; a bound below 0 counts from the end.
    pub fn tokens(&mut self, x: &Value, from: i64, to: i64) -> Value {
        let (from, to, axis) = (self.graph.ints(&[from]), self.graph.ints(&[to]), self.graph.ints(&[1]));
        self.graph.op("Slice", &[x, &from, &to, &axis], &[])
    }

    /// `[batch, 1, hidden]` without its middle dimension.
    pub fn without_tokens(&mut self, x: &Value) -> Value {
        let axis = self.graph.ints(&[1]);
        self.graph.op("Squeeze", &[x, &axis], &[])
    }

    fn swap_tokens_and_heads(&mut self, x: &Value) -> Value {
        self.graph.op("Transpose", &[x], &[Attribute::ints("perm", &[0, 2, 1, 3])])
    }
}
