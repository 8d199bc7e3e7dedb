//! The layers that encoder and decoder share: post-LayerNorm BERT.
//!
//! An int8 graph differs in its matrix products only. What a product reads is quantised in the graph, each row (a token)
//! by a step of its own, so that the vector of a text does not depend on its neighbours in the batch:
//! `step = max|x| / 127`, `q = round(x / step) + 128`. The product of integers is exact; `step` and the scale of each
//! output channel bring it back to f32.

use super::graph::{CONTRIB, GraphBuilder, Value};
use super::proto::{Attribute, element};
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

/// What a matrix product reads, ready for it: `[.., in]`.
#[derive(Clone)]
pub enum Operand {
    F32(Value),
    /// u8 around [`MIDDLE`], and the largest size in each row, `[.., 1]`, which is [`LEVELS`] steps.
    Int8 {
        rows: Value,
        largest: Value,
    },
}

/// Steps between 0 and the largest size in a row.
const LEVELS: f32 = 127.0;
/// What stands for 0 in a quantised row.
const MIDDLE: u8 = 128;
/// Keeps a row of zeros from being divided by zero.
const LEAST_SIZE: f32 = 1e-30;

impl Layers<'_, '_> {
    /// `x · W + b` over the last dimension.
    pub fn linear(&mut self, x: &Value, name: &str) -> Result<Value> {
        let x = self.operand(x, name)?;
        self.linear_of(&x, name)
    }

    /// `x`, `[.., in]`, ready for matrix products; balanced first where the file of weights says so for `reader`.
    pub fn operand(&mut self, x: &Value, reader: &str) -> Result<Operand> {
        if !self.graph.is_int8() {
            return Ok(Operand::F32(x.clone()));
        }
        let name = format!("{reader}.balance");
        let x = if self.graph.has(&name) {
            let balance = self.graph.weight(&name)?;
            self.graph.op("Mul", &[x, &balance], &[])
        } else {
            x.clone()
        };
        let (last, least) = (self.graph.ints(&[-1]), self.graph.float(LEAST_SIZE));
        let sizes = self.graph.op("Abs", &[&x], &[]);
        let largest = self.graph.op("ReduceMax", &[&sizes, &last], &[Attribute::int("keepdims", 1)]);
        let largest = self.graph.op("Max", &[&largest, &least], &[]);
        let unit = self.graph.op("Div", &[&x, &largest], &[]);
        let (step, middle) = (self.graph.float(LEVELS.recip()), self.graph.zero_point(false, MIDDLE));
        let rows = self.graph.op("QuantizeLinear", &[&unit, &step, &middle], &[]);
        Ok(Operand::Int8 { rows, largest })
    }

    /// `x · W + b` over the last dimension.
    pub fn linear_of(&mut self, x: &Operand, name: &str) -> Result<Value> {
        let weight = self.graph.weight(&format!("{name}.weight"))?;
        let product = self.product(x, &weight, &format!("{name}.scale"))?;
        let bias = self.graph.weight(&format!("{name}.bias"))?;
        Ok(self.graph.op("Add", &[&product, &bias], &[]))
    }

    /// `x · W` over the last dimension; an int8 matrix has the tensor `scale`, one number for each output.
    pub fn product(&mut self, x: &Operand, weight: &Value, scale: &str) -> Result<Value> {
        match x {
            Operand::F32(x) => Ok(self.graph.op("MatMul", &[x, weight], &[])),
            Operand::Int8 { rows, largest } => {
                let scale = self.graph.weight(scale)?;
                let (step, middle) = (self.graph.float(LEVELS.recip()), self.graph.zero_point(false, MIDDLE));
                let zero = self.graph.zero_point(true, 0);
                let inputs = [rows, weight, &step, &scale, &middle, &zero];
                let product = self.graph.op_of(CONTRIB, "MatMulIntegerToFloat", &inputs, &[]);
                Ok(self.graph.op("Mul", &[&product, largest], &[]))
            }
        }
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
        let words = self.words(ids)?;
        let place = self.graph.op("Add", &[positions, segments], &[]);
        let sum = self.graph.op("Add", &[&words, &place], &[]);
        self.norm(&sum, "embeddings.LayerNorm")
    }

    /// Word embeddings of `ids`.
    fn words(&mut self, ids: &Value) -> Result<Value> {
        let table = self.graph.weight("embeddings.word_embeddings.weight")?;
        let rows = self.graph.op("Gather", &[&table, ids], &[]);
        if !self.graph.is_int8() {
            return Ok(rows);
        }
        let (scales, last) = (self.graph.weight("embeddings.word_embeddings.scale")?, self.graph.ints(&[-1]));
        let scale = self.graph.op("Gather", &[&scales, ids], &[]);
        let scale = self.graph.op("Unsqueeze", &[&scale, &last], &[]);
        let rows = self.graph.op("Cast", &[&rows], &[Attribute::int("to", i64::from(element::FLOAT))]);
        Ok(self.graph.op("Mul", &[&rows, &scale], &[]))
    }

    /// The heads of layer `layer`, queries from `queries` and the rest from `x`, both `[batch, tokens, hidden]`.
    pub fn heads(&mut self, layer: usize, queries: &Value, x: &Value) -> Result<Heads> {
        let prefix = format!("encoder.layer.{layer}.attention.self");
        let all = self.operand(x, &prefix)?;
        let asking = if queries == x { all.clone() } else { self.operand(queries, &prefix)? };
        let mut part = |from: &Operand, name: &str| -> Result<Value> {
            let projected = self.linear_of(from, &format!("{prefix}.{name}"))?;
            let shape =
                self.graph.ints(&[0, 0, self.config.num_attention_heads as i64, self.config.head_size() as i64]);
            let split = self.graph.op("Reshape", &[&projected, &shape], &[]);
            Ok(self.swap_tokens_and_heads(&split))
        };
        Ok(Heads { query: part(&asking, "query")?, key: part(&all, "key")?, value: part(&all, "value")? })
    }

    /// Queries, keys and values of layer `layer`, each `[.., hidden]` as `x` is.
    pub fn projections(&mut self, layer: usize, x: &Value) -> Result<[Value; 3]> {
        let prefix = format!("encoder.layer.{layer}.attention.self");
        let x = self.operand(x, &prefix)?;
        let mut part = |name: &str| self.linear_of(&x, &format!("{prefix}.{name}"));
        Ok([part("query")?, part("key")?, part("value")?])
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
        let rows = self.swap_tokens_and_heads(context);
        let shape = self.graph.ints(&[0, 0, self.config.hidden_size as i64]);
        let joined = self.graph.op("Reshape", &[&rows, &shape], &[]);
        self.after_joined_heads(layer, &joined, residual)
    }

    /// What follows attention in layer `layer`, all `[.., hidden]`.
    pub fn after_joined_heads(&mut self, layer: usize, context: &Value, residual: &Value) -> Result<Value> {
        let prefix = format!("encoder.layer.{layer}");
        let attended = self.linear(context, &format!("{prefix}.attention.output.dense"))?;
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
