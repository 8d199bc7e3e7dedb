//! `encoder.onnx`: token ids in, unit sentence vectors out.
//!
//! | | name | type | shape |
//! |---|---|---|---|
//! | in | `input_ids` | i64 | `[batch, tokens]` |
//! | in | `attention_mask` | i64, 1 for a token and 0 for padding | `[batch, tokens]` |
//! | out | `embedding` | f32, length 1 | `[batch, hidden]` |

use super::graph::{Dim, GraphBuilder, Value};
use super::layers::Layers;
use super::proto::{Attribute, element};
use super::weights::WeightFile;
use crate::Result;
use crate::model::{Config, Pooling};

/// Added to the scores of padding. Softmax makes exactly 0 of it, and f16 can hold it.
const MASKED: f32 = -10_000.0;
/// Least length that a vector is divided by, so that a zero vector stays one.
const LEAST_LENGTH: f32 = 1e-12;

/// The graph of the encoder.
///
/// # Errors
/// `weights` lacks a tensor.
pub fn encoder<'w>(config: &Config, weights: &'w WeightFile) -> Result<GraphBuilder<'w>> {
    let mut graph = GraphBuilder::new("encoder", "Unit sentence vectors of a SimBERT.", weights);
    let shape = [Dim::Any("batch"), Dim::Any("tokens")];
    let ids = graph.input_i64("input_ids", &shape);
    let mask = graph.input_i64("attention_mask", &shape);
    let mut net = Layers { graph: &mut graph, config };

    let bias = mask_bias(&mut net, &mask);
    let mut x = embed(&mut net, &ids)?;
    let last = config.num_hidden_layers - 1;
    for layer in 0..=last {
        // Only the sentence vector leaves the last layer, so only [CLS] has to ask there.
        let only_cls = layer == last && config.pooling != Pooling::Mean;
        let queries = if only_cls { net.tokens(&x, 0, 1) } else { x.clone() };
        let heads = net.heads(layer, &queries, &x)?;
        let products = net.products(&heads.query, &heads.key);
        let scores = net.scaled(&products);
        let scores = net.graph.op("Add", &[&scores, &bias], &[]);
        let weights = net.graph.op("Softmax", &[&scores], &[Attribute::int("axis", -1)]);
        let context = net.graph.op("MatMul", &[&weights, &heads.value], &[]);
        x = net.after_attention(layer, &context, &queries)?;
    }
    let pooled = match config.pooling {
        Pooling::Mean => mean(&mut net, &x, &mask),
        Pooling::Cls => net.without_tokens(&x),
        Pooling::Pooler => {
            let cls = net.without_tokens(&x);
            net.linear(&cls, "pooler.dense")?
        }
    };
    let unit = normalised(&mut net, &pooled);
    graph.output(&unit, "embedding", &[Dim::Any("batch"), Dim::Fixed(config.hidden_size)]);
    Ok(graph)
}

/// Positions count from 0; all tokens are in segment 0.
fn embed(net: &mut Layers<'_, '_>, ids: &Value) -> Result<Value> {
    let (start, axis, source) = (net.graph.ints(&[0]), net.graph.ints(&[0]), net.graph.int(0));
    let count = net.graph.op("Shape", &[ids], &[Attribute::int("start", 1), Attribute::int("end", 2)]);
    let table = net.graph.weight("embeddings.position_embeddings.weight")?;
    let positions = net.graph.op("Slice", &[&table, &start, &count, &axis], &[]);
    let table = net.graph.weight("embeddings.token_type_embeddings.weight")?;
    let segment = net.graph.op("Gather", &[&table, &source], &[]);
    net.embed(ids, &positions, &segment)
}

/// 0 for tokens, [`MASKED`] for padding: `[batch, 1, 1, tokens]`.
fn mask_bias(net: &mut Layers<'_, '_>, mask: &Value) -> Value {
    let (one, masked, axes) = (net.graph.float(1.0), net.graph.float(MASKED), net.graph.ints(&[1, 2]));
    let mask = as_float(net, mask);
    let padding = net.graph.op("Sub", &[&one, &mask], &[]);
    let bias = net.graph.op("Mul", &[&padding, &masked], &[]);
    net.graph.op("Unsqueeze", &[&bias, &axes], &[])
}

/// Mean over the tokens that are not padding.
fn mean(net: &mut Layers<'_, '_>, x: &Value, mask: &Value) -> Value {
    let (last, tokens) = (net.graph.ints(&[-1]), net.graph.ints(&[1]));
    let keep = Attribute::int("keepdims", 0);
    let mask = as_float(net, mask);
    let mask = net.graph.op("Unsqueeze", &[&mask, &last], &[]);
    let kept = net.graph.op("Mul", &[x, &mask], &[]);
    let sum = net.graph.op("ReduceSum", &[&kept, &tokens], std::slice::from_ref(&keep));
    let count = net.graph.op("ReduceSum", &[&mask, &tokens], &[keep]);
    net.graph.op("Div", &[&sum, &count], &[])
}

fn normalised(net: &mut Layers<'_, '_>, x: &Value) -> Value {
    let (last, least) = (net.graph.ints(&[-1]), net.graph.float(LEAST_LENGTH));
    let length = net.graph.op("ReduceL2", &[x, &last], &[Attribute::int("keepdims", 1)]);
    let length = net.graph.op("Max", &[&length, &least], &[]);
    net.graph.op("Div", &[x, &length], &[])
}

fn as_float(net: &mut Layers<'_, '_>, x: &Value) -> Value {
    net.graph.op("Cast", &[x], &[Attribute::int("to", i64::from(element::FLOAT))])
}
