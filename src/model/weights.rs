//! The parameters of the network by name, in from and out to safetensors.
//!
//! Names are Hugging Face's for BERT, without the `bert.` prefix. In memory the query, key and value matrices of
//! a layer are one, `…attention.self.qkv`, so that one matrix product serves all three; files keep them apart.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Config, Pooling};
use crate::{Error, Result};

/// How numbers are stored in a weights file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Two bytes a number.
    #[default]
    F16,
    /// Four bytes a number.
    F32,
}

/// Named parameters of one network, f32.
#[derive(Debug, Clone)]
pub struct Weights {
    variables: BTreeMap<String, Var>,
}

/// Standard deviation of a fresh matrix, as in BERT.
const INITIAL_DEVIATION: f32 = 0.02;

/// What a parameter is when no file gives it.
enum Start {
    /// Drawn from a normal distribution.
    Normal,
    /// The identity matrix: leaves the state below as it is.
    Identity,
    Zeros,
    Ones,
}

/// Whether a file may lack this parameter: an encoder often comes without its pooler and language-model head.
fn optional(name: &str) -> bool {
    name.starts_with("pooler.") || name.starts_with("cls.")
}

impl Weights {
    /// Fresh parameters from a seed.
    ///
    /// # Errors
    /// The device refuses the memory.
    pub fn random(config: &Config, seed: u64, device: &Device) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut variables = BTreeMap::new();
        for (name, shape, start) in parameters(config) {
            let start = if matches!(start, Start::Identity) { Start::Normal } else { start };
            let tensor = initial(&shape, &start, &mut random, device)?;
            variables.insert(name, Var::from_tensor(&tensor)?);
        }
        Ok(Self { variables })
    }

    /// Reads a safetensors file. A missing pooler or language-model transform starts as the identity; the names of
    /// parameters that the file lacked come back beside the weights.
    ///
    /// # Errors
    /// The file cannot be read, or a parameter is missing or of another shape.
    pub fn load(path: &Path, config: &Config, device: &Device) -> Result<(Self, Vec<String>)> {
        let layers: Vec<usize> = (0..config.num_hidden_layers).collect();
        Self::load_layers(path, config, &layers, device)
    }

    /// [`Weights::load`] of a deeper network's file: layer i of `config` takes the place `layers[i]` in the file.
    ///
    /// # Errors
    /// As [`Weights::load`]; or `layers` names not one layer for each of `config`.
    pub fn load_layers(path: &Path, config: &Config, layers: &[usize], device: &Device) -> Result<(Self, Vec<String>)> {
        if layers.len() != config.num_hidden_layers {
            return Err(Error::invalid("layers to load", config.num_hidden_layers.to_string(), layers.len()));
        }
        let corrupt = |comment: String| Error::corrupt(path, comment);
        if let Err(error) = std::fs::metadata(path) {
            return Err(Error::io("read the weights", path, error));
        }
        let file = candle_core::safetensors::load(path, &Device::Cpu)
            .map_err(|e| corrupt(format!("expected a safetensors file: {e}")))?;
        let file: HashMap<&str, &Tensor> =
            file.iter().map(|(name, tensor)| (name.strip_prefix("bert.").unwrap_or(name), tensor)).collect();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let (mut variables, mut started) = (BTreeMap::new(), Vec::new());
        for (name, shape, start) in parameters(config) {
            let in_file = in_layer(&name, layers);
            let found = match parts_of(&in_file) {
                None => file.get(in_file.as_str()).map(|&tensor| tensor.clone()),
                Some(parts) => {
                    let found: Option<Vec<&Tensor>> =
                        parts.iter().map(|part| file.get(part.as_str()).copied()).collect();
                    found.map(|tensors| Tensor::cat(&tensors, 0)).transpose()?
                }
            };
            let tensor = match found {
                Some(tensor) if tensor.dims() == shape => tensor.to_dtype(DType::F32)?.to_device(device)?,
                Some(tensor) => {
                    return Err(corrupt(format!(
                        "expected `{in_file}` of shape {shape:?} by config.json, received {:?}",
                        tensor.dims()
                    )));
                }
                None if !optional(&name) => {
                    return Err(corrupt(format!("expected a tensor `{in_file}` of shape {shape:?}, found none")));
                }
                None => {
                    started.push(name.clone());
                    initial(&shape, &start, &mut random, device)?
                }
            };
            variables.insert(name, Var::from_tensor(&tensor.contiguous()?)?);
        }
        Ok((Self { variables }, started))
    }

    /// Writes a safetensors file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path, precision: Precision) -> Result<()> {
        let dtype = match precision {
            Precision::F16 => DType::F16,
            Precision::F32 => DType::F32,
        };
        let mut tensors = HashMap::new();
        for (name, variable) in &self.variables {
            let tensor = variable.as_tensor().to_device(&Device::Cpu)?.to_dtype(dtype)?;
            match parts_of(name) {
                None => {
                    tensors.insert(name.clone(), tensor);
                }
                Some(parts) => {
                    for (part, piece) in parts.into_iter().zip(tensor.chunk(3, 0)?) {
                        tensors.insert(part, piece.contiguous()?);
                    }
                }
            }
        }
        let temporary = path.with_extension("safetensors.partial");
        let bytes = safetensors::serialize(&tensors, None).map_err(|e| Error::Internal(e.to_string()))?;
        // Not safetensors' own file writer: its files are for their owner alone, and a server may run as another user.
        std::fs::write(&temporary, bytes).map_err(|e| Error::io("write the weights", &temporary, e))?;
        std::fs::rename(&temporary, path).map_err(|e| Error::io("put the weights in place", path, e))
    }

    /// One parameter.
    ///
    /// # Errors
    /// There is none of this name (a fault of ours).
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.variables
            .get(name)
            .map(Var::as_tensor)
            .ok_or_else(|| Error::Internal(format!("the network has no parameter `{name}`")))
    }

    /// All parameters, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable))
    }

    /// The same numbers in memory of their own.
    ///
    /// # Errors
    /// The device refuses the memory.
    pub fn copy(&self) -> Result<Self> {
        let copy =
            |(name, variable): (&String, &Var)| Ok((name.clone(), Var::from_tensor(&variable.as_tensor().copy()?)?));
        Ok(Self { variables: self.variables.iter().map(copy).collect::<Result<_>>()? })
    }

    /// The sum of some networks' parameters, each times its factor. All must be of one shape, and there must be one.
    ///
    /// # Errors
    /// There is none, a parameter is missing or of another shape, or the device fails.
    pub(super) fn mean(parts: &[(Self, f64)]) -> Result<Self> {
        let Some(((first, factor), rest)) = parts.split_first() else {
            return Err(Error::Internal("a mean of no weights".to_owned()));
        };
        let mut variables = BTreeMap::new();
        for (name, variable) in first.iter() {
            let mut sum = (variable.as_tensor().detach() * *factor)?;
            for (other, factor) in rest {
                sum = (sum + (other.get(name)?.detach() * *factor)?)?;
            }
            variables.insert(name.to_owned(), Var::from_tensor(&sum)?);
        }
        Ok(Self { variables })
    }

    /// How many numbers there are.
    pub fn count(&self) -> usize {
        self.variables.values().map(|v| v.as_tensor().elem_count()).sum()
    }
}

/// The name of a parameter in a file whose layer `layers[i]` is layer i in memory.
fn in_layer(name: &str, layers: &[usize]) -> String {
    const PREFIX: &str = "encoder.layer.";
    let parts = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.'));
    match parts.and_then(|(layer, rest)| Some((layers.get(layer.parse::<usize>().ok()?)?, rest))) {
        Some((layer, rest)) => format!("{PREFIX}{layer}.{rest}"),
        None => name.to_owned(),
    }
}

/// The three names in a file that are one parameter in memory.
fn parts_of(name: &str) -> Option<[String; 3]> {
    name.contains(".self.qkv.").then(|| ["query", "key", "value"].map(|part| name.replace("qkv", part)))
}

fn initial(shape: &[usize], start: &Start, random: &mut ChaCha8Rng, device: &Device) -> Result<Tensor> {
    Ok(match start {
        Start::Zeros => Tensor::zeros(shape, DType::F32, device)?,
        Start::Ones => Tensor::ones(shape, DType::F32, device)?,
        Start::Identity => Tensor::eye(shape[0], DType::F32, device)?,
        Start::Normal => {
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| INITIAL_DEVIATION * standard_normal(random)).collect();
            Tensor::from_vec(values, shape, device)?
        }
    })
}

/// One draw from the standard normal distribution (Box and Muller, 1958).
fn standard_normal(random: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - random.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * random.random::<f32>()).cos()
}

/// Name, shape and start of every parameter.
fn parameters(config: &Config) -> Vec<(String, Vec<usize>, Start)> {
    let (hidden, wide, vocabulary) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let mut list = Vec::new();
    let mut add = |name: String, shape: &[usize], start: Start| list.push((name, shape.to_vec(), start));
    let matrices =
        [("word", vocabulary), ("position", config.max_position_embeddings), ("token_type", config.type_vocab_size)];
    for (name, rows) in matrices {
        add(format!("embeddings.{name}_embeddings.weight"), &[rows, hidden], Start::Normal);
    }
    add("embeddings.LayerNorm.weight".into(), &[hidden], Start::Ones);
    add("embeddings.LayerNorm.bias".into(), &[hidden], Start::Zeros);
    for layer in 0..config.num_hidden_layers {
        let dense = [
            ("attention.self.qkv", 3 * hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", wide, hidden),
            ("output.dense", hidden, wide),
        ];
        for (name, rows, columns) in dense {
            add(format!("encoder.layer.{layer}.{name}.weight"), &[rows, columns], Start::Normal);
            add(format!("encoder.layer.{layer}.{name}.bias"), &[rows], Start::Zeros);
        }
        for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
            add(format!("encoder.layer.{layer}.{name}.weight"), &[hidden], Start::Ones);
            add(format!("encoder.layer.{layer}.{name}.bias"), &[hidden], Start::Zeros);
        }
    }
    if config.pooling == Pooling::Pooler {
        add("pooler.dense.weight".into(), &[hidden, hidden], Start::Identity);
        add("pooler.dense.bias".into(), &[hidden], Start::Zeros);
    }
    add("cls.predictions.transform.dense.weight".into(), &[hidden, hidden], Start::Identity);
    add("cls.predictions.transform.dense.bias".into(), &[hidden], Start::Zeros);
    add("cls.predictions.transform.LayerNorm.weight".into(), &[hidden], Start::Ones);
    add("cls.predictions.transform.LayerNorm.bias".into(), &[hidden], Start::Zeros);
    add("cls.predictions.bias".into(), &[vocabulary], Start::Zeros);
    list
}
