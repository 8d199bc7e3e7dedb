//! The teacher: another model's sentence vectors, computed once and kept on disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use half::f16;
use sha2::{Digest, Sha256};

use super::TeacherSettings;
use super::encode::encode;
use crate::model::{Bert, Compute, ModelDirectory, Weights};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Texts encoded between two reports of progress.
const CHUNK: usize = 512;

/// The vectors of all sentences that a run may compare, `[sentences, width]` in 16 bits.
#[derive(Debug)]
pub struct Teacher {
    rows: HashMap<[u8; 16], usize>,
    vectors: Vec<f16>,
    width: usize,
}

impl Teacher {
    /// Takes the vectors of `texts` from the cache, encodes what it lacks, and writes them back to it. `tell` hears how
    /// many of the missing texts are done; it returns whether to go on. None when it does not: those that are done are in
    /// the cache then.
    ///
    /// # Errors
    /// The teacher or the cache cannot be read, or the cache cannot be written.
    pub fn open(
        settings: &TeacherSettings,
        output: &Path,
        texts: &[String],
        (device, compute): (&Device, Compute),
        tell: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Option<Self>> {
        let directory = ModelDirectory::open(&settings.model)?;
        let mut config = directory.config()?;
        config.pooling = settings.pooling.unwrap_or(config.pooling);
        if let Some(prefix) = &settings.prefix {
            config.prefix.clone_from(prefix);
        }
        let identity = format!("{} {:?} {:?}", directory.fingerprint()?, config.pooling, config.prefix);
        let cache = settings.cache.clone().unwrap_or_else(|| output.join("teacher.safetensors"));
        let mut this = Self { rows: HashMap::new(), vectors: Vec::new(), width: config.hidden_size };
        if cache.is_file() {
            this.read(&cache, &identity)?;
        }
        let missing: Vec<&String> = texts.iter().filter(|text| !this.rows.contains_key(&key(text))).collect();
        if missing.is_empty() {
            return Ok(Some(this));
        }
        let tokenizer = Tokenizer::from_file(directory.tokenizer_path())?;
        let weights = Weights::load(&directory.weights_path(), &config, device)?.0;
        let network = Bert::new(config, weights, device.clone()).with_compute(compute);
        for (number, chunk) in missing.chunks(CHUNK).enumerate() {
            if !tell(number * CHUNK, missing.len()) {
                if number > 0 {
                    this.write(&cache, &identity)?;
                }
                return Ok(None);
            }
            for (text, vector) in chunk.iter().zip(encode(&network, &tokenizer, chunk)?) {
                this.rows.insert(key(text), this.rows.len());
                this.vectors.extend(vector.into_iter().map(f16::from_f32));
            }
        }
        this.write(&cache, &identity)?;
        Ok(tell(missing.len(), missing.len()).then_some(this))
    }

    /// Vectors of `texts` `[texts, width]`, of length 1.
    ///
    /// # Errors
    /// A text was not among those that the teacher was opened with (a fault of ours), or the device fails.
    pub fn vectors<'a>(&self, texts: impl Iterator<Item = &'a str>, device: &Device) -> Result<Tensor> {
        let mut values = Vec::new();
        for text in texts {
            let row = self.rows.get(&key(text)).ok_or_else(|| {
                Error::Internal(format!("the teacher was not asked for the vector of `{text}` beforehand"))
            })?;
            values.extend(self.vectors[row * self.width..][..self.width].iter().map(|x| x.to_f32()));
        }
        let rows = values.len() / self.width;
        Ok(Tensor::from_vec(values, (rows, self.width), device)?)
    }

    fn read(&mut self, cache: &Path, identity: &str) -> Result<()> {
        let corrupt = |reason: String| {
            Error::corrupt(cache, format!("expected a teacher's vectors: {reason}; remove the file to make them again"))
        };
        let bytes = std::fs::read(cache).map_err(|e| Error::io("read the teacher's vectors", cache, e))?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| corrupt(e.to_string()))?;
        if header.metadata().as_ref().and_then(|metadata| metadata.get("teacher")).map(String::as_str) != Some(identity)
        {
            return Err(corrupt("they are another teacher's".to_owned()));
        }
        let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| corrupt(e.to_string()))?;
        let tensor = |name: &str| file.tensor(name).map_err(|e| corrupt(e.to_string()));
        let (keys, vectors) = (tensor("keys")?, tensor("vectors")?);
        if vectors.shape() != [keys.data().len() / 16, self.width] {
            return Err(corrupt(format!("{} keys beside {:?} numbers", keys.data().len() / 16, vectors.shape())));
        }
        let number = |pair: &[u8]| f16::from_le_bytes([pair[0], pair[1]]);
        self.vectors = vectors.data().chunks_exact(2).map(number).collect();
        for (row, bytes) in keys.data().chunks_exact(16).enumerate() {
            let mut key = [0; 16];
            key.copy_from_slice(bytes);
            self.rows.insert(key, row);
        }
        Ok(())
    }

    fn write(&self, cache: &Path, identity: &str) -> Result<()> {
        let mut keys = vec![0u8; self.rows.len() * 16];
        for (key, row) in &self.rows {
            keys[row * 16..][..16].copy_from_slice(key);
        }
        let rows = self.rows.len();
        let tensors = HashMap::from([
            ("keys", Tensor::from_vec(keys, (rows, 16), &Device::Cpu)?),
            ("vectors", Tensor::from_slice(&self.vectors, (rows, self.width), &Device::Cpu)?.to_dtype(DType::F16)?),
        ]);
        let metadata = HashMap::from([("teacher".to_owned(), identity.to_owned())]);
        let bytes = safetensors::serialize(&tensors, Some(metadata)).map_err(|e| Error::Internal(e.to_string()))?;
        let partial: PathBuf = cache.with_extension("partial");
        std::fs::write(&partial, bytes).map_err(|e| Error::io("write the teacher's vectors", &partial, e))?;
        std::fs::rename(&partial, cache).map_err(|e| Error::io("put the teacher's vectors in place", cache, e))
    }
}

/// What a text is known by in the cache: the first half of its SHA-256.
fn key(text: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(text)[..16]);
    key
}
