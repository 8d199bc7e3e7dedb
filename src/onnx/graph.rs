//! Builds one ONNX graph, node by node.

use std::collections::{BTreeSet, HashSet};

use prost::Message;

use super::proto::{self, Attribute, StringEntry, element};
use super::weights::WeightFile;
use crate::{Error, Result};

/// ONNX operator set: the first with `Gelu`; `LayerNormalization` is in it since 17.
const OPSET: i64 = 20;
/// The file format that came with that operator set.
const IR_VERSION: i64 = 9;
/// ONNX Runtime's own operators.
pub const CONTRIB: &str = "com.microsoft";
/// The version of every set of operators that is not the standard's.
const OTHER_OPSET: i64 = 1;

/// The name of a tensor inside a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

/// A dimension of an input or output: a number, or a name for what varies from run to run.
#[derive(Debug, Clone, Copy)]
pub enum Dim {
    Fixed(usize),
    Any(&'static str),
}

/// A graph under construction. In f32, operators are only those of the ONNX standard: ONNX Runtime fuses bias, GELU and
/// the attention scale by itself, and its fused attention and skip normalisation were slower on a CPU.
pub struct GraphBuilder<'w> {
    weights: &'w WeightFile,
    graph: proto::Graph,
    initialized: HashSet<String>,
}

impl<'w> GraphBuilder<'w> {
    pub fn new(name: &str, doc: &str, weights: &'w WeightFile) -> Self {
        let graph =
            proto::Graph { name: Some(name.to_owned()), doc_string: Some(doc.to_owned()), ..Default::default() };
        Self { weights, graph, initialized: HashSet::new() }
    }

    /// An input of 64-bit integers.
    pub fn input_i64(&mut self, name: &str, shape: &[Dim]) -> Value {
        self.graph.input.push(value_info(name, element::INT64, shape));
        Value(name.to_owned())
    }

    /// An input of f32.
    pub fn input_f32(&mut self, name: &str, shape: &[Dim]) -> Value {
        self.graph.input.push(value_info(name, element::FLOAT, shape));
        Value(name.to_owned())
    }

    /// Makes `value` an f32 output called `name`, and returns it under that name.
    pub fn output(&mut self, value: &Value, name: &str, shape: &[Dim]) -> Value {
        for node in &mut self.graph.node {
            for place in node.input.iter_mut().chain(&mut node.output).filter(|place| **place == value.0) {
                name.clone_into(place);
            }
        }
        self.graph.output.push(value_info(name, element::FLOAT, shape));
        Value(name.to_owned())
    }

    /// Applies a standard operator with one output.
    pub fn op(&mut self, kind: &str, inputs: &[&Value], attribute: &[Attribute]) -> Value {
        self.node(None, kind, inputs, attribute)
    }

    /// Applies an operator with one output that is not of the standard but of `domain`.
    pub fn op_of(&mut self, domain: &str, kind: &str, inputs: &[&Value], attribute: &[Attribute]) -> Value {
        self.node(Some(domain), kind, inputs, attribute)
    }

    fn node(&mut self, domain: Option<&str>, kind: &str, inputs: &[&Value], attribute: &[Attribute]) -> Value {
        let name = format!("{kind}_{}", self.graph.node.len());
        self.graph.node.push(proto::Node {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![name.clone()],
            name: Some(name.clone()),
            op_type: Some(kind.to_owned()),
            attribute: attribute.to_vec(),
            domain: domain.map(str::to_owned),
        });
        Value(name)
    }

    /// Whether the matrices are int8; each then has a `….scale` beside its `….weight`.
    pub fn is_int8(&self) -> bool {
        self.weights.int8
    }

    /// Whether the file of weights has the tensor `name`.
    pub fn has(&self, name: &str) -> bool {
        self.weights.get(name).is_some()
    }

    /// A tensor of the file of weights.
    ///
    /// # Errors
    /// The file has no such tensor.
    pub fn weight(&mut self, name: &str) -> Result<Value> {
        let placed = self
            .weights
            .get(name)
            .ok_or_else(|| Error::Internal(format!("a graph needs the tensor `{name}`, which was not written")))?;
        if self.initialized.insert(name.to_owned()) {
            self.graph.initializer.push(proto::Tensor {
                dims: placed.shape.iter().map(|&n| n as i64).collect(),
                data_type: Some(placed.element),
                name: Some(name.to_owned()),
                raw_data: None,
                external_data: vec![
                    StringEntry::new("location", &self.weights.name),
                    StringEntry::new("offset", placed.offset.to_string()),
                    StringEntry::new("length", placed.length.to_string()),
                ],
                data_location: Some(element::EXTERNAL),
            });
        }
        Ok(Value(name.to_owned()))
    }

    /// A constant list of integers, `[values]`: axes, bounds and shapes.
    pub fn ints(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(format!("ints{values:?}"), &[values.len() as i64], element::INT64, bytes)
    }

    /// A constant integer without dimensions: an index.
    pub fn int(&mut self, value: i64) -> Value {
        self.constant(format!("int {value}"), &[], element::INT64, value.to_le_bytes().to_vec())
    }

    /// A constant zero point, for 8-bit integers with or without a sign.
    pub fn zero_point(&mut self, signed: bool, value: u8) -> Value {
        let (name, element) = if signed { ("i8", element::INT8) } else { ("u8", element::UINT8) };
        self.constant(format!("{name} {value}"), &[], element, vec![value])
    }

    /// A constant number without dimensions.
    pub fn float(&mut self, value: f32) -> Value {
        self.constant(format!("float {value}"), &[], element::FLOAT, value.to_le_bytes().to_vec())
    }

    fn constant(&mut self, name: String, dims: &[i64], data_type: i32, bytes: Vec<u8>) -> Value {
        if self.initialized.insert(name.clone()) {
            self.graph.initializer.push(proto::Tensor {
                dims: dims.to_vec(),
                data_type: Some(data_type),
                name: Some(name.clone()),
                raw_data: Some(bytes),
                ..Default::default()
            });
        }
        Value(name)
    }

    /// The finished file, with `metadata` as its properties.
    pub fn finish(self, metadata: Vec<StringEntry>) -> Vec<u8> {
        let set =
            |domain: &str, version| proto::OperatorSet { domain: Some(domain.to_owned()), version: Some(version) };
        let mut opset_import = vec![set("", OPSET)];
        let domains: BTreeSet<&str> = self.graph.node.iter().filter_map(|node| node.domain.as_deref()).collect();
        opset_import.extend(domains.into_iter().map(|domain| set(domain, OTHER_OPSET)));
        proto::Model {
            ir_version: Some(IR_VERSION),
            producer_name: Some(env!("CARGO_PKG_NAME").to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            graph: Some(self.graph),
            opset_import,
            metadata_props: metadata,
        }
        .encode_to_vec()
    }
}

fn value_info(name: &str, element: i32, shape: &[Dim]) -> proto::ValueInfo {
    let dim = shape
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(n) => proto::Dimension { dim_value: Some(*n as i64), dim_param: None },
            Dim::Any(name) => proto::Dimension { dim_value: None, dim_param: Some((*name).to_owned()) },
        })
        .collect();
    let tensor_type = proto::TensorType { elem_type: Some(element), shape: Some(proto::Shape { dim }) };
    proto::ValueInfo { name: Some(name.to_owned()), r#type: Some(proto::Type { tensor_type: Some(tensor_type) }) }
}
