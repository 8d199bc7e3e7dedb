//! `decoder.onnx`: reads rows, each one token of any text, and tells what comes next.
//!
//! The graph knows of no samples. Keys and values of all tokens lie in a cache, `[slots, hidden]` for each layer, and
//! each row names those it sees: for a row of a source all of that source, for a row of a sample its source and the
//! sample up to itself. That is UniLM's mask, so none is needed; sources are read and samples go on in one run, and what
//! samples have in common is there once. A place below `slots` names a slot, one from there on the row of this run.
//!
//! | | name | type | shape |
//! |---|---|---|---|
//! | in | `input_ids`, `positions`, `segments` | i64 | `[rows]` |
//! | in | `reads`: the places that rows see, one row after the other | i64 | `[reads]` |
//! | in | `ends`: where those of each row end | i64 | `[rows]` |
//! | in | `asked`: rows whose next token is wanted | i64 | `[asked]` |
//! | in | `past.{layer}.key`, `.value`: the cache | f32 | `[slots, hidden]` |
//! | out | `logits` of the next token | f32 | `[asked, vocabulary]` |
//! | out | `new.{layer}.key`, `.value`, to go into the cache | f32 | `[rows, hidden]` |

use super::graph::{Dim, GraphBuilder, Value};
use super::layers::Layers;
use super::proto::Attribute;
use super::weights::WeightFile;
use crate::Result;
use crate::model::Config;

/// Domain and name of the attention over a cache, which the runtime brings along: each head of a query's softmax over
/// the keys at its places, times the values there. Inputs: queries, new keys, new values, past keys, past values,
/// `reads`, `ends`; attribute: `heads`.
pub const GATHERED_ATTENTION: (&str, &str) = ("simbert", "GatheredAttention");

/// The graph of the decoder.
///
/// # Errors
/// `weights` lacks a tensor.
pub fn decoder<'w>(config: &Config, weights: &'w WeightFile) -> Result<GraphBuilder<'w>> {
    let mut graph = GraphBuilder::new("decoder", "Next-token logits of a SimBERT.", weights);
    let rows = [Dim::Any("rows")];
    let ids = graph.input_i64("input_ids", &rows);
    let positions = graph.input_i64("positions", &rows);
    let segments = graph.input_i64("segments", &rows);
    let reads = graph.input_i64("reads", &[Dim::Any("reads")]);
    let ends = graph.input_i64("ends", &rows);
    let asked = graph.input_i64("asked", &[Dim::Any("asked")]);
    let mut net = Layers { graph: &mut graph, config };

    let mut x = embed(&mut net, &ids, &positions, &segments)?;
    for layer in 0..config.num_hidden_layers {
        x = decoder_layer(&mut net, layer, &x, [&reads, &ends])?;
    }
    let last = net.graph.op("Gather", &[&x, &asked], &[]);
    let logits = head(&mut net, &last)?;
    graph.output(&logits, "logits", &[Dim::Any("asked"), Dim::Fixed(config.vocab_size)]);
    Ok(graph)
}

fn embed(net: &mut Layers<'_, '_>, ids: &Value, positions: &Value, segments: &Value) -> Result<Value> {
    let table = net.graph.weight("embeddings.position_embeddings.weight")?;
    let positions = net.graph.op("Gather", &[&table, positions], &[]);
    let table = net.graph.weight("embeddings.token_type_embeddings.weight")?;
    let segments = net.graph.op("Gather", &[&table, segments], &[]);
    net.embed(ids, &positions, &segments)
}

fn decoder_layer(net: &mut Layers<'_, '_>, layer: usize, x: &Value, [reads, ends]: [&Value; 2]) -> Result<Value> {
    let hidden = Dim::Fixed(net.config.hidden_size);
    let [query, key, value] = net.projections(layer, x)?;
    let mut cached = |new: &Value, part: &str| {
        let past = net.graph.input_f32(&format!("past.{layer}.{part}"), &[Dim::Any("slots"), hidden]);
        (net.graph.output(new, &format!("new.{layer}.{part}"), &[Dim::Any("rows"), hidden]), past)
    };
    let ((key, past_key), (value, past_value)) = (cached(&key, "key"), cached(&value, "value"));
    let inputs = [&query, &key, &value, &past_key, &past_value, reads, ends];
    let heads = Attribute::int("heads", net.config.num_attention_heads as i64);
    let context = net.graph.op_of(GATHERED_ATTENTION.0, GATHERED_ATTENTION.1, &inputs, &[heads]);
    net.after_joined_heads(layer, &context, x)
}

/// The language-model head over `[asked, hidden]`; its matrix is the word embedding, read in place.
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
