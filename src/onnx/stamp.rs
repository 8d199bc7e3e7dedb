//! What ties graphs, weights and model directory together, so that a stale export is noticed.

use std::path::Path;

use prost::Message;

use super::proto::{self, StringEntry};
use super::weights::read_header;
use crate::model::{Config, ModelDirectory};
use crate::{Error, Result};

/// Goes up when graphs of an older program no longer serve a newer one.
const FORMAT: &str = "2";

const KEYS: [&str; 3] = ["simbert.format", "simbert.fingerprint", "simbert.shape"];
const WEIGHT_BYTES: &str = "simbert.weight_bytes";

/// The model and the format that an export was made from; written into both graphs and at the head of `weights.bin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    format: String,
    fingerprint: String,
    shape: String,
}

impl Stamp {
    /// The stamp of an export made now from `directory`.
    ///
    /// # Errors
    /// A file of the directory cannot be read.
    pub fn of(directory: &ModelDirectory) -> Result<Self> {
        let (fingerprint, shape) = (directory.fingerprint()?, shape(&directory.config()?));
        Ok(Self { format: FORMAT.to_owned(), fingerprint, shape })
    }

    /// Fingerprint of the model directory.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The stamp as text: what `weights.bin` opens with.
    pub fn line(&self) -> String {
        format!("simbert weights, format {}, model {}, {}\n", self.format, self.fingerprint, self.shape)
    }

    /// The stamp, and the length of `weights.bin`, as properties of a graph.
    pub fn properties(&self, weight_bytes: u64) -> Vec<StringEntry> {
        let values = [&self.format, &self.fingerprint, &self.shape];
        let mut all: Vec<_> = KEYS.iter().zip(values).map(|(key, value)| StringEntry::new(*key, value)).collect();
        all.push(StringEntry::new(WEIGHT_BYTES, weight_bytes.to_string()));
        all
    }

    /// Checks that `graph` (`encoder.onnx` or `decoder.onnx` of `directory`) and `weights.bin` were exported from the
    /// files that lie in `directory` now, and returns their stamp.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such graph, [`Error::Unavailable`] when it is stale, [`Error::DataCorruption`]
    /// when a file is not what was written.
    pub fn check(directory: &ModelDirectory, graph: &Path) -> Result<Self> {
        let command = directory.export_command();
        let weights = directory.onnx_weights_path();
        for (kind, path) in [("ONNX graph", graph), ("file of ONNX weights", &weights)] {
            if !path.is_file() {
                let (name, hint) = (path.display().to_string(), format!("run `{command}`"));
                return Err(Error::NotFound { kind, name, hint });
            }
        }
        let current = Self::of(directory)?;
        let stale = |found: &str| Error::Unavailable {
            what: format!("`{}`", graph.display()),
            reason: format!(
                "it was exported from {found}, but the directory now holds {}; run `{command}`",
                current.in_words()
            ),
        };
        let bytes = std::fs::read(graph).map_err(|e| Error::io("read the ONNX graph", graph, e))?;
        let model = proto::Model::decode(&bytes[..])
            .map_err(|e| Error::corrupt(graph, format!("expected an ONNX graph: {e}; run `{command}`")))?;
        let property = |key: &str| {
            let entry = model.metadata_props.iter().find(|entry| entry.key.as_deref() == Some(key));
            entry.and_then(|entry| entry.value.clone()).unwrap_or_else(|| "unknown".to_owned())
        };
        let [format, fingerprint, shape] = KEYS.map(property);
        let stamp = Self { format, fingerprint, shape };
        if stamp != current {
            return Err(stale(&stamp.in_words()));
        }
        let (line, length) = read_header(&weights)?;
        let expected = property(WEIGHT_BYTES);
        if line != current.line() || length.to_string() != expected {
            return Err(Error::corrupt(
                &weights,
                format!("expected {expected} bytes of {}; run `{command}`", current.in_words()),
            ));
        }
        Ok(current)
    }

    fn in_words(&self) -> String {
        format!("model {} (format {}, {})", self.fingerprint, self.format, self.shape)
    }
}

fn shape(config: &Config) -> String {
    format!(
        "{} layers × {}, {} heads, inner {}, {} pieces, {} positions, {:?} pooling, eps {:e}",
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.vocab_size,
        config.max_position_embeddings,
        config.pooling,
        config.layer_norm_eps
    )
}
