//! `weights.bin`: every weight once, in f32, in the layout that the graphs multiply by.
//!
//! The file opens with a header of [`HEADER`] bytes that names the export it belongs to, so that graphs and weights
//! of different exports are told apart. Then come the tensors, each at a multiple of [`ALIGNMENT`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

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
    /// Linear layers are `[out, in]` in safetensors and `[in, out]` for ONNX `MatMul`.
    transpose: bool,
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
}

/// What was written to a `weights.bin`.
#[derive(Debug)]
pub struct WeightFile {
    placed: HashMap<String, Placed>,
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
    /// behind a header that holds `stamp`.
    ///
    /// # Errors
    /// A file cannot be read or written; a tensor is missing, of another shape or type, or not finite.
    pub fn write(source: &Path, target: &Path, config: &Config, stamp: &str) -> Result<Self> {
        let bytes = std::fs::read(source).map_err(|e| Error::io("read the weights", source, e))?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|e| Error::corrupt(source, format!("expected a safetensors file: {e}")))?;
        let has_decoder = tensors.names().iter().any(|name| name.starts_with("cls.predictions."));
        let file = File::create(target).map_err(|e| Error::io("create the ONNX weights", target, e))?;
        let mut writer = Writer { file: BufWriter::with_capacity(1 << 20, file), written: 0 };
        let io = |e| Error::io("write the ONNX weights", target, e);
        writer.put(&header(stamp)?).map_err(io)?;
        let mut placed = HashMap::new();
        for wanted in wanted(config, has_decoder) {
            let values = read_f32(source, &tensors, &wanted, config)?;
            let (values, shape) = match wanted.shape[..] {
                [rows, columns] if wanted.transpose => (transpose(&values, rows, columns), vec![columns, rows]),
                _ => (values, wanted.shape),
            };
            writer.align().map_err(io)?;
            let (offset, length) = (writer.written, values.len() * size_of::<f32>());
            // ONNX keeps raw tensor bytes in little-endian order.
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            writer.put(&bytes).map_err(io)?;
            placed.insert(wanted.name, Placed { shape, offset, length });
        }
        let file = writer.file.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        Ok(Self { placed, bytes: writer.written as u64, has_decoder })
    }
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
}

/// Every tensor of the two graphs, in the order of the network.
fn wanted(config: &Config, with_decoder: bool) -> Vec<Wanted> {
    let (hidden, inner, vocabulary) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let mut all = Vec::new();
    let mut plain = |name: &str, shape: &[usize]| {
        all.push(Wanted { name: name.to_owned(), shape: shape.to_vec(), transpose: false });
    };
    plain("embeddings.word_embeddings.weight", &[vocabulary, hidden]);
    plain("embeddings.position_embeddings.weight", &[config.max_position_embeddings, hidden]);
    plain("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, hidden]);
    let norm = |all: &mut Vec<Wanted>, prefix: &str| {
        for part in ["weight", "bias"] {
            all.push(Wanted { name: format!("{prefix}.{part}"), shape: vec![hidden], transpose: false });
        }
    };
    let linear = |all: &mut Vec<Wanted>, prefix: &str, from: usize, to: usize| {
        all.push(Wanted { name: format!("{prefix}.weight"), shape: vec![to, from], transpose: true });
        all.push(Wanted { name: format!("{prefix}.bias"), shape: vec![to], transpose: false });
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
        all.push(Wanted { name, shape, transpose: false });
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

fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
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
    fn a_stamp_too_long_for_the_header_is_refused() {
        assert!(header(&"x".repeat(HEADER)).is_ok());
        assert!(header(&"x".repeat(HEADER + 1)).is_err());
    }
}
