//! `decoder.onnx`: reads a run of tokens, tells what comes next, and hands out their keys and values.
//!
//! The tokens of one run see each other, the sample's own earlier tokens (`past`), and the source, whose keys and
//! values all samples share (batch 1, broadcast). That is the whole UniLM mask, so none is needed:
//! - **source**: one sample, all source tokens in one run, nothing before them. Its `present` is the `source` of
//!   every later run, its logits (at the source's `[SEP]`) predict the first target token.
//! - **step**: n samples, one token each; `past` grows by one.
//!
//! | | name | type | shape |
//! |---|---|---|---|
//! | in | `input_ids` | i64 | `[samples, tokens]` |
//! | in | `positions`, `segments` | i64, the same for all samples | `[tokens]` |
//! | in | `source.{layer}.key`, `.value` | f32 | `[1, heads, source, head]` |
//! | in | `past.{layer}.key`, `.value` | f32 | `[samples, heads, past, head]` |
//! | out | `logits` after the last token | f32 | `[samples, vocabulary]` |
//! | out | `present.{layer}.key`, `.value` | f32 | `[samples, heads, past + tokens, head]` |

use super::graph::{Dim, GraphBuilder, Value};
use super::layers::Layers;
use super::proto::Attribute;
use super::weights::WeightFile;
use crate::Result;
use crate::model::Config;

/// Past the end of every dimension.
const END: i64 = i64::MAX;

/// The graph of the decoder.
///
/// # Errors
/// `weights` lacks a tensor.
pub fn decoder<'w>(config: &Config, weights: &'w WeightFile) -> Result<GraphBuilder<'w>> {
    let mut graph = GraphBuilder::new("decoder", "Next-token logits of a SimBERT.", weights);
    let ids = graph.input_i64("input_ids", &[Dim::Any("samples"), Dim::Any("tokens")]);
    let positions = graph.input_i64("positions", &[Dim::Any("tokens")]);
    let segments = graph.input_i64("segments", &[Dim::Any("tokens")]);
    let mut net = Layers { graph: &mut graph, config };

    let mut x = embed(&mut net, &ids, &positions, &segments)?;
    for layer in 0..config.num_hidden_layers {
        x = decoder_layer(&mut net, layer, &x)?;
    }
    let last = net.tokens(&x, -1, END);
    let last = net.without_tokens(&last);
    let logits = head(&mut net, &last)?;
    graph.output(&logits, "logits", &[Dim::Any("samples"), Dim::Fixed(config.vocab_size)]);
    Ok(graph)
}

fn embed(net: &mut Layers<'_, '_>, ids: &Value, positions: &Value, segments: &Value) -> Result<Value> {
    let table = net.graph.weight("embeddings.position_embeddings.weight")?;
    let positions = net.graph.op("Gather", &[&table, positions], &[]);
    let table = net.graph.weight("embeddings.token_type_embeddings.weight")?;
    let segments = net.graph.op("Gather", &[&table, segments], &[]);
    net.embed(ids, &positions, &segments)
}

fn decoder_layer(net: &mut Layers<'_, '_>, layer: usize, x: &Value) -> Result<Value> {
    let (heads, head) = (Dim::Fixed(net.config.num_attention_heads), Dim::Fixed(net.config.head_size()));
    let new = net.heads(layer, x, x)?;
    let own = |net: &mut Layers<'_, '_>, new: &Value, part: &str| {
        let shape = [Dim::Any("samples"), heads, Dim::Any("past"), head];
        let past = net.graph.input_f32(&format!("past.{layer}.{part}"), &shape);
        let own = net.graph.op("Concat", &[&past, new], &[Attribute::int("axis", 2)]);
        let name = format!("present.{layer}.{part}");
        net.graph.output(&own, &name, &[Dim::Any("samples"), heads, Dim::Any("present"), head])
    };
    let source_shape = [Dim::Fixed(1), heads, Dim::Any("source"), head];
    let source_key = net.graph.input_f32(&format!("source.{layer}.key"), &source_shape);
    let source_value = net.graph.input_f32(&format!("source.{layer}.value"), &source_shape);
    let own_key = own(net, &new.key, "key");
    let own_value = own(net, &new.value, "value");

    // One softmax over both, each part multiplied in its own place: nothing of the source is copied per sample.
    let to_source = net.products(&new.query, &source_key);
    let to_own = net.products(&new.query, &own_key);
    let products = net.graph.op("Concat", &[&to_source, &to_own], &[Attribute::int("axis", -1)]);
    let scores = net.scaled(&products);
    let weights = net.graph.op("Softmax", &[&scores], &[Attribute::int("axis", -1)]);
    let count = net.graph.op("Shape", &[&source_key], &[Attribute::int("start", 2), Attribute::int("end", 3)]);
    let (start, end, axis) = (net.graph.ints(&[0]), net.graph.ints(&[END]), net.graph.ints(&[-1]));
    let on_source = net.graph.op("Slice", &[&weights, &start, &count, &axis], &[]);
    let on_own = net.graph.op("Slice", &[&weights, &count, &end, &axis], &[]);
    let from_source = net.graph.op("MatMul", &[&on_source, &source_value], &[]);
    let from_own = net.graph.op("MatMul", &[&on_own, &own_value], &[]);
    let context = net.graph.op("Add", &[&from_source, &from_own], &[]);
    net.after_attention(layer, &context, x)
}

/// The language-model head over `[samples, hidden]`; its matrix is the word embedding, read in place.
fn head(net: &mut Layers<'_, '_>, x: &Value) -> Result<Value> {
    let x = net.linear(x, "cls.predictions.transform.dense")?;
    let x = net.gelu(&x);
    let x = net.norm(&x, "cls.predictions.transform.LayerNorm")?;
    let words = net.graph.weight("embeddings.word_embeddings.weight")?;
    let bias = net.graph.weight("cls.predictions.bias")?;
    if net.graph.is_int8() {
        // Turned once, when ONNX Runtime loads the graph.
        let turned = net.graph.op("Transpose", &[&words], &[Attribute::ints("perm", &[1, 0])]);
        let x = net.operand(&x, "embeddings.word_embeddings")?;
        let scores = net.product(&x, &turned, "embeddings.word_embeddings.scale")?;
        return Ok(net.graph.op("Add", &[&scores, &bias], &[]));
    }
    Ok(net.graph.op("Gemm", &[&x, &words, &bias], &[Attribute::int("transB", 1)]))
}
