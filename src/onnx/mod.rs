//! Writes the ONNX graphs of a model directory: `encoder.onnx`, `decoder.onnx` and their shared `weights.bin`; or the
//! same network in 8-bit integers: `encoder.int8.onnx`, `decoder.int8.onnx` and `weights.int8.bin`.
//!
//! The files are written by hand, in our own prost messages of `onnx.proto`. In f32 they use standard operators only;
//! in int8 the linear layers are ONNX Runtime's `MatMulIntegerToFloat`. Weights are quantised here, for each output
//! channel; what they are multiplied with is quantised in the graph, for each token.

mod calibration;
mod decoder;
mod encoder;
mod graph;
mod layers;
mod proto;
mod quantise;
mod stamp;
mod stored;
mod weights;

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::{Arithmetic, ModelDirectory};
use crate::{Error, Result};

pub use decoder::GATHERED_ATTENTION;
pub use stamp::Stamp;
pub use stored::{Stored, stored};
use weights::WeightFile;

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The files, the weights last.
    pub files: Vec<PathBuf>,
    /// Bytes of the file of weights.
    pub weight_bytes: u64,
    /// Whether there is a decoder; there is none for a model without `cls.predictions` weights.
    pub decoder: bool,
    /// Fingerprint of the model, as the files carry it.
    pub fingerprint: String,
}

/// Writes the encoder's graph, the file of weights and, where the model has a language-model head, the decoder's graph
/// into `directory`, in its arithmetic. Each file is written beside its place and moved there at the end; a process that has the old files
/// open keeps them.
///
/// # Errors
/// A file cannot be read or written, or `model.safetensors` is not the network that `config.json` describes.
pub fn export(directory: &ModelDirectory) -> Result<Export> {
    let config = directory.config()?;
    let stamp = Stamp::of(directory)?;
    let balances = match directory.arithmetic() {
        Arithmetic::F32 => None,
        Arithmetic::Int8 => Some(calibration::calibrate(directory, &config)?),
    };
    let weights_file = Pending::new(directory.onnx_weights_path());
    let target = (&*weights_file.temporary, weights_file.name());
    let weights = WeightFile::write(&directory.weights_path(), target, &config, &stamp.line(), balances.as_ref())?;
    let properties = stamp.properties(weights.bytes);

    let encoder = Pending::new(directory.encoder_path());
    encoder.fill(&encoder::encoder(&config, &weights)?.finish(properties.clone()))?;
    let mut finished = vec![encoder];
    if weights.has_decoder {
        let decoder = Pending::new(directory.decoder_path());
        decoder.fill(&decoder::decoder(&config, &weights)?.finish(properties))?;
        finished.push(decoder);
    } else {
        remove_if_there(&directory.decoder_path())?;
    }
    finished.push(weights_file);

    let files = finished.into_iter().map(Pending::keep).collect::<Result<Vec<_>>>()?;
    let root = directory.root();
    fs::File::open(root).and_then(|d| d.sync_all()).map_err(|e| Error::io("flush the model directory", root, e))?;
    let (weight_bytes, decoder) = (weights.bytes, weights.has_decoder);
    Ok(Export { files, weight_bytes, decoder, fingerprint: stamp.fingerprint().to_owned() })
}

/// A file that is being written under another name; the other name goes away when this is dropped.
struct Pending {
    target: PathBuf,
    temporary: PathBuf,
}

impl Pending {
    fn new(target: PathBuf) -> Self {
        let mut name = target.clone().into_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        Self { target, temporary: name.into() }
    }

    /// What the file is to be called.
    fn name(&self) -> String {
        self.target.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn fill(&self, bytes: &[u8]) -> Result<()> {
        let io = |e| Error::io("write the ONNX graph", &self.temporary, e);
        fs::write(&self.temporary, bytes).map_err(io)?;
        fs::File::open(&self.temporary).and_then(|file| file.sync_all()).map_err(io)
    }

    fn keep(self) -> Result<PathBuf> {
        fs::rename(&self.temporary, &self.target).map_err(|e| Error::io("move the file to", &self.target, e))?;
        Ok(self.target.clone())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Gone already when it was kept; and there is no better way out of a failed export.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove the old graph", path, e)),
        _ => Ok(()),
    }
}
