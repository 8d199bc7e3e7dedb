//! What tensors of the file of weights a graph reads.

use std::path::{Path, PathBuf};

use prost::Message;

use super::proto::{self, element};
use crate::{Error, Result};

/// A tensor in the file of weights beside a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What the graph calls it.
    pub name: String,
    pub shape: Vec<usize>,
    /// Whether it is of 8-bit integers; of f32 otherwise, little-endian.
    pub int8: bool,
    /// Where it lies in the file, in bytes.
    pub range: std::ops::Range<usize>,
}

/// The file of weights beside `graph`, and the tensors that it reads from there.
///
/// # Errors
/// The graph cannot be read, or is not one that an export writes.
pub fn stored(graph: &Path) -> Result<(PathBuf, Vec<Stored>)> {
    let bytes = std::fs::read(graph).map_err(|e| Error::io("read the ONNX graph", graph, e))?;
    let corrupt = |what: &str| Error::corrupt(graph, format!("expected an ONNX graph of an export: {what}"));
    let model = proto::Model::decode(&bytes[..]).map_err(|e| corrupt(&e.to_string()))?;
    let tensors = model.graph.map(|graph| graph.initializer).unwrap_or_default();
    let mut file = None;
    let outside = tensors.into_iter().filter(|tensor| tensor.data_location == Some(element::EXTERNAL));
    let all = outside
        .map(|tensor| {
            let entry = |key: &str| {
                let entry = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key))?;
                entry.value.as_deref()
            };
            let number = |key: &str| -> Option<usize> { entry(key)?.parse().ok() };
            file = entry("location").map(|name| graph.with_file_name(name));
            let range = number("offset").and_then(|start| Some(start..start.checked_add(number("length")?)?));
            let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
            match (tensor.name, shape, range) {
                (Some(name), Some(shape), Some(range)) => {
                    Ok(Stored { name, shape, int8: tensor.data_type == Some(element::INT8), range })
                }
                _ => Err(corrupt("a tensor has no place")),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((file.ok_or_else(|| corrupt("it has no weights"))?, all))
}
