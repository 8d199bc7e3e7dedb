//! The weights of a model, once in memory for all sessions of the process.
//!
//! Left alone, each session reads the weights for itself and lays the matrices out anew for its products. Here they are
//! read once, and what the first session lays out the others use: of encoder and decoder, which are one network.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::{DynValue, Tensor};
use parking_lot::Mutex;

use super::failed;
use crate::onnx::Stored;
use crate::{Error, Result};

/// Weights by file and what the file says it is.
type Loaded = HashMap<(PathBuf, Vec<u8>), Weak<SharedWeights>>;

/// What is in use.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);
/// The part of the file that says what it is.
const HEADER: usize = 4096;

/// The tensors of one file of weights.
pub struct SharedWeights {
    tensors: Mutex<HashMap<String, Arc<DynValue>>>,
    packed: PrepackedWeights,
}

impl SharedWeights {
    /// The weights of `file`; those in memory when some session uses them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(file: &Path) -> Result<Arc<Self>> {
        use std::io::Read;
        let io = |e| Error::io("read the ONNX weights", file, e);
        let mut header = Vec::new();
        std::fs::File::open(file).map_err(io)?.take(HEADER as u64).read_to_end(&mut header).map_err(io)?;
        let key = (file.canonicalize().map_err(io)?, header);
        let mut guard = LOADED.lock();
        let loaded = guard.get_or_insert_default();
        loaded.retain(|_, weights| weights.strong_count() > 0);
        if let Some(weights) = loaded.get(&key).and_then(Weak::upgrade) {
            return Ok(weights);
        }
        let weights = Arc::new(Self { tensors: Mutex::default(), packed: PrepackedWeights::new() });
        loaded.insert(key, Arc::downgrade(&weights));
        Ok(weights)
    }

    /// Has the sessions of `builder` use the tensors that are `wanted` of `file`.
    ///
    /// # Errors
    /// The file cannot be read or is too short; ONNX Runtime refuses a tensor.
    pub fn give(&self, mut builder: SessionBuilder, file: &Path, wanted: &[Stored]) -> Result<SessionBuilder> {
        let action = || format!("use `{}`", file.display());
        let mut tensors = self.tensors.lock();
        let missing: Vec<_> = wanted.iter().filter(|tensor| !tensors.contains_key(&tensor.name)).collect();
        if !missing.is_empty() {
            let bytes = std::fs::read(file).map_err(|e| Error::io("read the ONNX weights", file, e))?;
            for tensor in missing {
                let value = value(tensor, &bytes).map_err(|e| Error::corrupt(file, e))?;
                tensors.insert(tensor.name.clone(), Arc::new(value));
            }
        }
        for Stored { name, .. } in wanted {
            builder = builder.with_initializer(name, Arc::clone(&tensors[name])).map_err(failed(action()))?;
        }
        builder.with_prepacked_weights(&self.packed).map_err(failed(action()))
    }
}

fn value(tensor: &Stored, file: &[u8]) -> Result<DynValue, String> {
    let bytes = file.get(tensor.range.clone()).ok_or("expected more bytes")?;
    let shape = tensor.shape.clone();
    let made = if tensor.int8 {
        let values: Vec<i8> = bytes.iter().map(|&byte| byte as i8).collect();
        Tensor::from_array((shape, values)).map(Tensor::into_dyn)
    } else {
        let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Tensor::from_array((shape, values)).map(Tensor::into_dyn)
    };
    made.map_err(|e| format!("`{}`: {e}", tensor.name))
}
