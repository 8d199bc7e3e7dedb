//! A model directory: the files in which training and serving meet.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Calibration, Config, Kinds};
use crate::{Error, Result};

/// The numbers that exported graphs multiply. A directory may hold graphs of both kinds side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// 32-bit floats: the model as it was trained.
    #[default]
    F32,
    /// 8-bit integers in the matrix products: a quarter of the bytes and faster, with vectors that differ a little.
    Int8,
}

/// A folder with `config.json`, `tokenizer.json` and `model.safetensors`, and, once exported,
/// `encoder.onnx`, `decoder.onnx` and their shared `weights.bin`, or the same three with `.int8` in their names.
#[derive(Debug, Clone)]
pub struct ModelDirectory {
    root: PathBuf,
    arithmetic: Arithmetic,
}

/// What an int8 model's fingerprint takes in beside the weights; goes up when its vectors change.
const INT8: &str = " int8 1";

impl ModelDirectory {
    /// Names the folder `root`; its files are looked at when they are asked for.
    ///
    /// # Errors
    /// There is no such folder, or it has no `config.json`.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let this = Self::create(root);
        if !this.config_path().is_file() {
            return Err(Error::NotFound {
                kind: "model directory",
                name: this.root.display().to_string(),
                hint: "it must hold `config.json`, `tokenizer.json` and `model.safetensors`; name one with `--model`"
                    .to_owned(),
            });
        }
        Ok(this)
    }

    /// Names a folder that is about to be filled.
    pub fn create(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_owned(), arithmetic: Arithmetic::F32 }
    }

    /// The same folder, of which the graphs of this arithmetic are meant.
    #[must_use]
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// Which graphs are meant.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// The command that writes the graphs that are meant, for messages.
    pub fn export_command(&self) -> String {
        let option = match self.arithmetic {
            Arithmetic::F32 => "",
            Arithmetic::Int8 => "--int8 ",
        };
        format!("simbert export {option}{}", self.root.display())
    }

    fn exported(&self, stem: &str, extension: &str) -> PathBuf {
        self.root.join(match self.arithmetic {
            Arithmetic::F32 => format!("{stem}.{extension}"),
            Arithmetic::Int8 => format!("{stem}.int8.{extension}"),
        })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The network's shape.
    pub fn config_path(&self) -> PathBuf {
        self.root.join("config.json")
    }
    /// The vocabulary and how text is cut into it.
    pub fn tokenizer_path(&self) -> PathBuf {
        self.root.join("tokenizer.json")
    }
    /// The trained weights.
    pub fn weights_path(&self) -> PathBuf {
        self.root.join("model.safetensors")
    }
    /// The encoder's graph.
    pub fn encoder_path(&self) -> PathBuf {
        self.exported("encoder", "onnx")
    }
    /// The decoder's graph.
    pub fn decoder_path(&self) -> PathBuf {
        self.exported("decoder", "onnx")
    }
    /// The weights that both graphs refer to.
    pub fn onnx_weights_path(&self) -> PathBuf {
        self.exported("weights", "bin")
    }
    /// Score to probability, where fitted: `calibration.json`, or `calibration.int8.json` for 8-bit scores.
    pub fn calibration_path(&self) -> PathBuf {
        self.exported("calibration", "json")
    }
    /// What tells questions from other sentences, where fitted. One file for both arithmetics, whose vectors are near
    /// enough to each other for it.
    pub fn kinds_path(&self) -> PathBuf {
        self.root.join("kinds.json")
    }

    /// Reads `config.json`.
    ///
    /// # Errors
    /// See [`Config::from_file`].
    pub fn config(&self) -> Result<Config> {
        Config::from_file(self.config_path())
    }

    /// Reads the calibration, where there is one; `fingerprint` is that of the model in this directory.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or was fitted to another model.
    pub fn calibration(&self, fingerprint: &str) -> Result<Option<Calibration>> {
        let path = self.calibration_path();
        if !path.try_exists().map_err(|e| Error::io("look for the calibration", &path, e))? {
            return Ok(None);
        }
        let calibration = Calibration::read(&path)?;
        calibration.check_model(fingerprint)?;
        Ok(Some(calibration))
    }

    /// Reads the probe for kinds of sentences, where there is one; `fingerprint` is this model's.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or was fitted to another model.
    pub fn kinds(&self, fingerprint: &str) -> Result<Option<Kinds>> {
        let path = self.kinds_path();
        if !path.try_exists().map_err(|e| Error::io("look for the probe for kinds of sentences", &path, e))? {
            return Ok(None);
        }
        let kinds = Kinds::read(&path)?;
        match self.arithmetic {
            Arithmetic::F32 => kinds.check_model(fingerprint)?,
            Arithmetic::Int8 => kinds.check_model(&self.kinds_fingerprint()?)?,
        }
        Ok(Some(kinds))
    }

    /// What a probe for kinds of sentences remembers of its model: the fingerprint in f32, in whatever arithmetic it
    /// was fitted and is used.
    ///
    /// # Errors
    /// See [`ModelDirectory::fingerprint`].
    pub fn kinds_fingerprint(&self) -> Result<String> {
        self.clone().with_arithmetic(Arithmetic::F32).fingerprint()
    }

    /// What a bank remembers of the model that encoded it: the first 16 hex digits of SHA-256 over weights,
    /// tokenizer, pooling, prefix and arithmetic. Two directories with the same fingerprint give the same vectors.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for path in [self.weights_path(), self.tokenizer_path()] {
            let mut file = std::fs::File::open(&path).map_err(|e| Error::io("open the model file", &path, e))?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                let n = file.read(&mut buffer).map_err(|e| Error::io("read the model file", &path, e))?;
                if n == 0 {
                    break;
                }
                hash.update(&buffer[..n]);
            }
        }
        let config = self.config()?;
        hash.update(format!("{:?} {}{}", config.pooling, config.max_tokens, config.prefix));
        if self.arithmetic == Arithmetic::Int8 {
            hash.update(INT8);
        }
        Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}
