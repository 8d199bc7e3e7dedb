//! `weights.bin` and `weights.int8.bin`: every weight once, in the layout that the graphs multiply by.
//!
//! In int8, the matrices and the word embeddings are 8-bit integers with a `….scale` for each output channel (for each
//! word); what is added or normalises stays in f32, and so do the few position and segment embeddings.
//!
//! The file opens with a header of [`HEADER`] bytes that names the export it belongs to, so that graphs and weights
//! of different exports are told apart. Then come the tensors, each at a multiple of [`ALIGNMENT`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::calibration::Balances;
use super::proto::element;
use super::quantise::{Quantised, quantise};
use crate::model::{Config, Pooling};
use crate::{Error, Result};

/// Bytes before the first tensor: one page.
const HEADER: usize = 4096;
/// Cache lines, so that SIMD loads from the mapped file are aligned.
const ALIGNMENT: usize = 64;

/// A tensor that a graph needs.
struct Wanted {
    name: String,
    /// Shape in `model.safetensors`.
    shape: Vec<usize>,
    kind: Kind,
}

/// What a graph does with a tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Adds it, or looks rows up; f32 always.
    Plain,
    /// Looks rows up, and the head multiplies by it.
    Words,
    /// Multiplies by it: `[out, in]` in safetensors, `[in, out]` for ONNX `MatMul`.
    Matrix,
}

/// Where a tensor lies in `weights.bin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Shape as written.
    pub shape: Vec<usize>,
    /// First byte, from the start of the file.
    pub offset: usize,
    /// Length in bytes.
    pub length: usize,
    /// One of [`element`]'s types.
    pub element: i32,
}

/// What was written to a `weights.bin`.
#[derive(Debug)]
pub struct WeightFile {
    placed: HashMap<String, Placed>,
    /// Name of the file, by which graphs beside it find it.
    pub name: String,
    /// Whether the matrices are int8.
    pub int8: bool,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Whether the tensors of the language-model head are there, so that a decoder can be written.
    pub has_decoder: bool,
}

impl WeightFile {
    /// Where the tensor `name` lies.
    pub fn get(&self, name: &str) -> Option<&Placed> {
        self.placed.get(name)
    }

    /// Reads `source`, checks every tensor against the shape that `config` gives it, and writes them to `target`
    /// behind a header that holds `stamp`; in int8 where there are `balances`. Graphs are to find the file as `name`.
    ///
    /// # Errors
    /// A file cannot be read or written; a tensor is missing, of another shape or type, or not finite.
    pub fn write(
        source: &Path,
        (target, name): (&Path, String),
        config: &Config,
        stamp: &str,
        balances: Option<&Balances>,
    ) -> Result<Self> {
        let bytes = std::fs::read(source).map_err(|e| Error::io("read the weights", source, e))?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|e| Error::corrupt(source, format!("expected a safetensors file: {e}")))?;
        let has_decoder = tensors.names().iter().any(|name| name.starts_with("cls.predictions."));
        let file = File::create(target).map_err(|e| Error::io("create the ONNX weights", target, e))?;
        let placed = HashMap::new();
        let mut writer = Writer { file: BufWriter::with_capacity(1 << 20, file), written: 0, placed };
        let io = |e| Error::io("write the ONNX weights", target, e);
        writer.put(&header(stamp)?).map_err(io)?;
        for wanted in wanted(config, has_decoder) {
            let values = read_f32(source, &tensors, &wanted, config)?;
            match (balances, wanted.kind, &wanted.shape[..]) {
                (Some(balances), Kind::Words | Kind::Matrix, &[rows, columns]) => {
                    let balance = balances.get(reader(&wanted.name));
                    let found = quantise(&balanced(values, columns, balance), columns)?;
                    writer.put_int8(&wanted, found, [rows, columns]).map_err(io)?;
                }
                (None, Kind::Matrix, &[rows, columns]) => {
                    let values = transpose(&values, rows, columns);
                    writer.put_f32(wanted.name, vec![columns, rows], &values).map_err(io)?;
                }
                _ => writer.put_f32(wanted.name, wanted.shape, &values).map_err(io)?,
            }
        }
        for (group, balance) in balances.into_iter().flatten() {
            let shares: Vec<f32> = balance.iter().map(|balance| balance.recip()).collect();
            writer.put_f32(format!("{group}.balance"), vec![shares.len()], &shares).map_err(io)?;
        }
        let file = writer.file.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        let (placed, bytes, int8) = (writer.placed, writer.written as u64, balances.is_some());
        Ok(Self { placed, name, int8, bytes, has_decoder })
    }
}

/// The columns of a matrix, each times its number in `balance`.
fn balanced(mut values: Vec<f32>, columns: usize, balance: Option<&Vec<f32>>) -> Vec<f32> {
    if let Some(balance) = balance {
        for row in values.chunks_exact_mut(columns) {
            row.iter_mut().zip(balance).for_each(|(weight, balance)| *weight *= balance);
        }
    }
    values
}

/// The group of matrices that reads the same as the matrix `name`: query, key and value do, others are groups of one.
fn reader(name: &str) -> &str {
    let layer = name.strip_suffix(".weight").unwrap_or(name);
    [".query", ".key", ".value"].iter().find_map(|part| layer.strip_suffix(part)).unwrap_or(layer)
}

/// The stamp at the head of a `weights.bin` (what there is of it), and the file's length.
///
/// # Errors
/// The file cannot be read.
pub fn read_header(path: &Path) -> Result<(String, u64)> {
    let io = |e| Error::io("read the ONNX weights", path, e);
    let file = File::open(path).map_err(io)?;
    let mut header = Vec::new();
    (&file).take(HEADER as u64).read_to_end(&mut header).map_err(io)?;
    let end = header.iter().position(|&byte| byte == 0).unwrap_or(header.len());
    let bytes = file.metadata().map_err(io)?.len();
    Ok((String::from_utf8_lossy(&header[..end]).into_owned(), bytes))
}

fn header(stamp: &str) -> Result<Vec<u8>> {
    if stamp.len() > HEADER {
        return Err(Error::Internal(format!("the stamp of an export has {} bytes, more than {HEADER}", stamp.len())));
    }
    let mut header = stamp.as_bytes().to_vec();
    header.resize(HEADER, 0);
    Ok(header)
}

struct Writer {
    file: BufWriter<File>,
    written: usize,
    placed: HashMap<String, Placed>,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.written += bytes.len();
        self.file.write_all(bytes)
    }

    fn align(&mut self) -> std::io::Result<()> {
        let gap = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.put(&[0; ALIGNMENT][..gap])
    }

    fn put_tensor(&mut self, name: String, shape: Vec<usize>, element: i32, bytes: &[u8]) -> std::io::Result<()> {
        self.align()?;
        self.placed.insert(name, Placed { shape, offset: self.written, length: bytes.len(), element });
        self.put(bytes)
    }

    fn put_f32(&mut self, name: String, shape: Vec<usize>, values: &[f32]) -> std::io::Result<()> {
        // ONNX keeps raw tensor bytes in little-endian order.
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.put_tensor(name, shape, element::FLOAT, &bytes)
    }

    /// Writes a matrix `[rows, columns]` and the scale of each row.
    fn put_int8(&mut self, wanted: &Wanted, found: Quantised, [rows, columns]: [usize; 2]) -> std::io::Result<()> {
        let (values, shape) = match wanted.kind {
            Kind::Matrix => (transpose(&found.values, rows, columns), vec![columns, rows]),
            _ => (found.values, vec![rows, columns]),
        };
        self.put_tensor(wanted.name.clone(), shape, element::INT8, bytemuck::cast_slice(&values))?;
        let scale = format!("{}.scale", wanted.name.trim_end_matches(".weight"));
        self.put_f32(scale, vec![rows], &found.scales)
    }
}

/// Every tensor of the two graphs, in the order of the network.
fn wanted(config: &Config, with_decoder: bool) -> Vec<Wanted> {
    let (hidden, inner, vocabulary) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let (name, shape) = ("embeddings.word_embeddings.weight".to_owned(), vec![vocabulary, hidden]);
    let mut all = vec![Wanted { name, shape, kind: Kind::Words }];
    let mut plain = |name: &str, shape: &[usize]| {
        all.push(Wanted { name: name.to_owned(), shape: shape.to_vec(), kind: Kind::Plain });
    };
    plain("embeddings.position_embeddings.weight", &[config.max_position_embeddings, hidden]);
    plain("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, hidden]);
    let norm = |all: &mut Vec<Wanted>, prefix: &str| {
        for part in ["weight", "bias"] {
            all.push(Wanted { name: format!("{prefix}.{part}"), shape: vec![hidden], kind: Kind::Plain });
        }
    };
    let linear = |all: &mut Vec<Wanted>, prefix: &str, from: usize, to: usize| {
        all.push(Wanted { name: format!("{prefix}.weight"), shape: vec![to, from], kind: Kind::Matrix });
        all.push(Wanted { name: format!("{prefix}.bias"), shape: vec![to], kind: Kind::Plain });
    };
    norm(&mut all, "embeddings.LayerNorm");
    for layer in 0..config.num_hidden_layers {
        let prefix = format!("encoder.layer.{layer}");
        for part in ["query", "key", "value"] {
            linear(&mut all, &format!("{prefix}.attention.self.{part}"), hidden, hidden);
        }
        linear(&mut all, &format!("{prefix}.attention.output.dense"), hidden, hidden);
        norm(&mut all, &format!("{prefix}.attention.output.LayerNorm"));
        linear(&mut all, &format!("{prefix}.intermediate.dense"), hidden, inner);
        linear(&mut all, &format!("{prefix}.output.dense"), inner, hidden);
        norm(&mut all, &format!("{prefix}.output.LayerNorm"));
    }
    if config.pooling == Pooling::Pooler {
        linear(&mut all, "pooler.dense", hidden, hidden);
    }
    if with_decoder {
        linear(&mut all, "cls.predictions.transform.dense", hidden, hidden);
        norm(&mut all, "cls.predictions.transform.LayerNorm");
        let (name, shape) = ("cls.predictions.bias".to_owned(), vec![vocabulary]);
        all.push(Wanted { name, shape, kind: Kind::Plain });
    }
    all
}

fn read_f32(path: &Path, tensors: &SafeTensors<'_>, wanted: &Wanted, config: &Config) -> Result<Vec<f32>> {
    let name = &wanted.name;
    // Some files carry the name of the part of the network in front.
    let found = tensors.tensor(name).or_else(|_| tensors.tensor(&format!("bert.{name}")));
    let tensor = found.map_err(|_| {
        let hint = if name.starts_with("pooler.") && config.pooling == Pooling::Pooler {
            "; for a model without a pooler set `\"pooling\"` in config.json to `\"cls\"` or `\"mean\"`"
        } else {
            ""
        };
        Error::corrupt(path, format!("expected a tensor `{name}`, found none{hint}"))
    })?;
    if tensor.shape() != wanted.shape {
        let (expected, found) = (&wanted.shape, tensor.shape());
        return Err(Error::corrupt(path, format!("expected `{name}` to have the shape {expected:?}, found {found:?}")));
    }
    let values = to_f32(&tensor).ok_or_else(|| {
        let comment = format!("expected `{name}` in F32, F16 or BF16, found {:?}", tensor.dtype());
        Error::corrupt(path, comment)
    })?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::corrupt(path, format!("expected finite numbers in `{name}`, found infinity or NaN")));
    }
    Ok(values)
}

fn to_f32(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = tensor.data();
    let pairs = || data.chunks_exact(2).map(|b| [b[0], b[1]]);
    Some(match tensor.dtype() {
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        _ => return None,
    })
}

fn transpose<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| values[row * columns + column]));
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes() {
        assert_eq!(transpose(&[1., 2., 3., 4., 5., 6.], 2, 3), [1., 4., 2., 5., 3., 6.]);
    }

    #[test]
    fn query_key_and_value_read_the_same() {
        assert_eq!(reader("encoder.layer.3.attention.self.key.weight"), "encoder.layer.3.attention.self");
        assert_eq!(reader("encoder.layer.3.intermediate.dense.weight"), "encoder.layer.3.intermediate.dense");
    }

    #[test]
    fn a_stamp_too_long_for_the_header_is_refused() {
        assert!(header(&"x".repeat(HEADER)).is_ok());
        assert!(header(&"x".repeat(HEADER + 1)).is_err());
    }
}
