//! The decoder: a source is read once, then n samples go on from it token by token.

use std::borrow::Cow;

use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorRef};

use super::pool::SessionPool;
use super::{RuntimeOptions, failed};
use crate::model::{Config, ModelDirectory};
use crate::onnx::Stamp;
use crate::{Error, Result};

/// Segments of the pair `[CLS] source [SEP] target [SEP]`.
const SOURCE_SEGMENT: i64 = 0;
const TARGET_SEGMENT: i64 = 1;

/// The decoder half of a model. Callers may share it; each call waits for a free session.
pub struct Decoder {
    pool: SessionPool,
    config: Config,
    layers: Vec<LayerNames>,
    fingerprint: String,
}

/// What all samples share: the keys and values of a source.
pub struct Source {
    layers: Vec<KeyValue>,
    tokens: usize,
}

/// What the samples have written so far, and its keys and values. All samples have the same number of tokens.
pub struct Cache {
    layers: Vec<KeyValue>,
    samples: usize,
    tokens: usize,
}

/// Scores of the next token, one row for each sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    values: Vec<f32>,
    vocabulary: usize,
}

/// Keys and values of one layer, each `[samples, heads, tokens, head]`.
struct KeyValue {
    key: DynValue,
    value: DynValue,
}

/// What the graph calls the keys and values of one layer.
struct LayerNames {
    source: [String; 2],
    past: [String; 2],
    present: [String; 2],
}

impl LayerNames {
    fn new(layer: usize) -> Self {
        let names = |kind: &str| ["key", "value"].map(|part| format!("{kind}.{layer}.{part}"));
        Self { source: names("source"), past: names("past"), present: names("present") }
    }
}

impl Logits {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.values.len() / self.vocabulary
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Scores of sample `row`, `[vocabulary]`, all finite.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocabulary..][..self.vocabulary]
    }
}

impl Decoder {
    /// Loads the decoder's graph, in the arithmetic of `directory`.
    ///
    /// # Errors
    /// The model has no decoder half; it was not exported, or from other weights (run `simbert export`); ONNX Runtime
    /// is missing (run `make vendor`) or refuses the graph.
    pub fn open(directory: &ModelDirectory, options: &RuntimeOptions) -> Result<Self> {
        let graph = directory.decoder_path();
        if !graph.is_file() && directory.encoder_path().is_file() {
            // A stale or damaged encoder is the better thing to complain of.
            Stamp::check(directory, &directory.encoder_path())?;
            return Err(Error::Unavailable {
                what: "the decoder".to_owned(),
                reason: format!(
                    "the model in `{}` has no language-model head (`cls.predictions` weights), so it encodes but \
                     cannot generate; use a model that `simbert train` has made",
                    directory.root().display()
                ),
            });
        }
        let stamp = Stamp::check(directory, &graph)?;
        let config = directory.config()?;
        let pool = SessionPool::open(&graph, options)?;
        let layers = (0..config.num_hidden_layers).map(LayerNames::new).collect();
        Ok(Self { pool, config, layers, fingerprint: stamp.fingerprint().to_owned() })
    }

    /// Number of pieces that are scored.
    pub fn vocabulary(&self) -> usize {
        self.config.vocab_size
    }

    /// Most tokens of source and target together.
    pub fn positions(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// What tells this model from others; see [`ModelDirectory::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Reads a source, `[CLS] pieces… [SEP]`, and scores the first target token: one row of logits.
    ///
    /// # Errors
    /// `ids` is empty, too long or not of this vocabulary, or ONNX Runtime fails.
    pub fn read(&self, ids: &[u32]) -> Result<(Source, Logits)> {
        if ids.is_empty() || ids.len() > self.positions() {
            return Err(Error::invalid("source tokens", format!("1 to {}", self.positions()), ids.len()));
        }
        self.check_ids(ids)?;
        let nothing = Source { layers: self.empty(1)?, tokens: 0 };
        let mut cache = Cache { layers: self.empty(1)?, samples: 1, tokens: 0 };
        let logits = self.run(ids, 0, SOURCE_SEGMENT, &nothing, &mut cache)?;
        Ok((Source { layers: cache.layers, tokens: ids.len() }, logits))
    }

    /// A cache for `samples` targets that have no token yet.
    ///
    /// # Errors
    /// `samples` is 0, or ONNX Runtime fails.
    pub fn start(&self, samples: usize) -> Result<Cache> {
        if samples == 0 {
            return Err(Error::invalid("samples", "at least 1", samples));
        }
        Ok(Cache { layers: self.empty(samples)?, samples, tokens: 0 })
    }

    /// Appends one token to each sample of `cache` and scores the next: one row of logits for each sample.
    ///
    /// # Errors
    /// `tokens` has not one entry for each sample, or one that is not of this vocabulary; no position is left; or ONNX
    /// Runtime fails.
    pub fn step(&self, source: &Source, cache: &mut Cache, tokens: &[u32]) -> Result<Logits> {
        self.check_ids(tokens)?;
        if tokens.len() != cache.samples {
            return Err(Error::invalid("tokens", format!("one for each of {} samples", cache.samples), tokens.len()));
        }
        let position = source.tokens + cache.tokens;
        if position >= self.positions() {
            return Err(Error::invalid("target", format!("at most {} positions", self.positions()), position + 1));
        }
        self.run(tokens, position, TARGET_SEGMENT, source, cache)
    }

    /// Runs `ids`, split evenly over the samples of `cache`, and grows the cache by them.
    fn run(&self, ids: &[u32], position: usize, segment: i64, source: &Source, cache: &mut Cache) -> Result<Logits> {
        let failed = || failed("decode");
        let count = ids.len() / cache.samples;
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let positions: Vec<i64> = (position..position + count).map(|p| p as i64).collect();
        let segments = vec![segment; count];
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = ort::inputs![
            "input_ids" => TensorRef::from_array_view(([cache.samples, count], &ids[..])).map_err(failed())?,
            "positions" => TensorRef::from_array_view(([count], &positions[..])).map_err(failed())?,
            "segments" => TensorRef::from_array_view(([count], &segments[..])).map_err(failed())?,
        ];
        for ((names, source), past) in self.layers.iter().zip(&source.layers).zip(&cache.layers) {
            for (names, layer) in [(&names.source, source), (&names.past, past)] {
                inputs.push((names[0].as_str().into(), (&layer.key).into()));
                inputs.push((names[1].as_str().into(), (&layer.value).into()));
            }
        }
        let mut session = self.pool.borrow();
        let (logits, layers) = self.outputs(&mut session, inputs)?;
        cache.layers = layers;
        cache.tokens += count;
        Ok(logits)
    }

    fn outputs(
        &self,
        session: &mut Session,
        inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)>,
    ) -> Result<(Logits, Vec<KeyValue>)> {
        let failed = || failed("decode");
        let mut outputs = session.run(inputs).map_err(failed())?;
        let mut take = |name: &str| {
            outputs.remove(name).ok_or_else(|| Error::Internal(format!("the decoder graph has no output `{name}`")))
        };
        let layers = self.layers.iter().map(|names| {
            let [key, value] = &names.present;
            Ok(KeyValue { key: take(key)?, value: take(value)? })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let logits = take("logits")?;
        let (_, values) = logits.try_extract_tensor::<f32>().map_err(failed())?;
        if values.iter().any(|value| !value.is_finite()) {
            let message = "the model gave logits that are not finite; its weights are unusable".to_owned();
            return Err(Error::Runtime { action: "decode".to_owned(), message });
        }
        Ok((Logits { values: values.to_vec(), vocabulary: self.config.vocab_size }, layers))
    }

    /// Keys and values of no token for `samples` samples.
    fn empty(&self, samples: usize) -> Result<Vec<KeyValue>> {
        let shape = [samples, self.config.num_attention_heads, 0, self.config.head_size()];
        let tensor = || Tensor::from_array((shape, Vec::<f32>::new())).map(Tensor::into_dyn).map_err(failed("decode"));
        (0..self.layers.len()).map(|_| Ok(KeyValue { key: tensor()?, value: tensor()? })).collect()
    }

    /// ONNX Runtime refuses other ids as well, but names a node of the graph where the caller needs the id.
    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        match ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            Some(id) => Err(Error::invalid("token id", format!("below {}", self.config.vocab_size), id)),
            None => Ok(()),
        }
    }
}

impl Cache {
    /// Keeps only the samples `rows`, in this order, as those of the next step.
    ///
    /// # Errors
    /// A row is not there, none is kept, or ONNX Runtime fails.
    pub fn keep(&mut self, rows: &[usize]) -> Result<()> {
        if rows.is_empty() || rows.iter().any(|&row| row >= self.samples) {
            return Err(Error::invalid("rows", format!("1 or more, each below {}", self.samples), format!("{rows:?}")));
        }
        for layer in &mut self.layers {
            layer.key = kept(&layer.key, rows)?;
            layer.value = kept(&layer.value, rows)?;
        }
        self.samples = rows.len();
        Ok(())
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }
}

fn kept(tensor: &DynValue, rows: &[usize]) -> Result<DynValue> {
    let (shape, values) = tensor.try_extract_tensor::<f32>().map_err(failed("decode"))?;
    let mut shape = shape.to_vec();
    let width: usize = shape[1..].iter().map(|&n| n as usize).product();
    let values: Vec<f32> = rows.iter().flat_map(|&row| &values[row * width..(row + 1) * width]).copied().collect();
    shape[0] = rows.len() as i64;
    Tensor::from_array((shape, values)).map(Tensor::into_dyn).map_err(failed("decode"))
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("fingerprint", &self.fingerprint).field("config", &self.config).finish()
    }
}
