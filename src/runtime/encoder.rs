//! Texts to unit sentence vectors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ort::session::Session;
use ort::value::TensorRef;
use rayon::prelude::*;

use super::batcher::Batcher;
use super::vector_cache::{CacheUse, VectorCache};
use super::weights::SharedWeights;
use super::{RuntimeOptions, batcher, failed, pool};
use crate::model::{Config, ModelDirectory};
use crate::onnx::Stamp;
use crate::text::Tokenizer;
use crate::{Error, Result};

/// How far the length of a vector may be from 1.
const LENGTH_TOLERANCE: f32 = 1e-3;
/// Fewer texts than this are cut by the calling thread alone.
const TEXTS_PER_THREAD: usize = 32;
/// Calls of more texts than this pass the cache by: they are files, which would push out what people ask again.
const CACHED_TEXTS: usize = 32;

/// The encoder half of a model. Callers may share it: what they ask for at the same time is computed together.
pub struct Encoder {
    batcher: Batcher,
    cache: VectorCache,
    tokenizer: Tokenizer,
    config: Config,
    fingerprint: String,
    _weights: Arc<SharedWeights>,
}

/// Sentence vectors and what they took.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// One vector of length 1 for each text, in the order of the texts: `[texts][dimension]`.
    pub vectors: Vec<Vec<f32>>,
    pub timings: EncodeTimings,
}

/// How long each stage of an encoding took, as the caller's clock saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeTimings {
    /// Waiting until the first batch could start.
    pub queue: Duration,
    /// Cutting texts into ids.
    pub tokenise: Duration,
    /// Running the network.
    pub infer: Duration,
}

impl Encoder {
    /// Loads the encoder's graph, in the arithmetic of `directory`, and the tokenizer.
    ///
    /// # Errors
    /// The model was not exported, or was exported from other weights (run `simbert export`); ONNX Runtime is missing
    /// (run `make vendor`) or refuses the graph; an option is out of range.
    pub fn open(directory: &ModelDirectory, options: &RuntimeOptions) -> Result<Self> {
        if options.tokens_per_batch == 0 {
            return Err(Error::invalid("tokens_per_batch", "at least 1", 0));
        }
        let graph = directory.encoder_path();
        let stamp = Stamp::check(directory, &graph)?;
        let config = directory.config()?;
        let tokenizer = Tokenizer::from_file(directory.tokenizer_path())?;
        if tokenizer.vocabulary() > config.vocab_size {
            let comment = format!("expected at most {} pieces, found {}", config.vocab_size, tokenizer.vocabulary());
            return Err(Error::corrupt(directory.tokenizer_path(), comment));
        }
        let (pad, dimension) = (tokenizer.special().pad, config.hidden_size);
        let (sessions, threads) = options.for_encoder();
        let (sessions, weights) = pool::sessions(&graph, options, sessions, threads)?;
        let networks = sessions.into_iter().map(|session| {
            let mut network = Network { session, pad, dimension };
            Box::new(move |rows: &[&[u32]]| network.run(rows)) as batcher::Network
        });
        let batcher = Batcher::start(networks.collect(), options.tokens_per_batch)?;
        let cache = VectorCache::new(options.cache_bytes, dimension);
        Ok(Self { batcher, cache, tokenizer, config, fingerprint: stamp.fingerprint().to_owned(), _weights: weights })
    }

    /// Width of the vectors.
    pub fn dimension(&self) -> usize {
        self.config.hidden_size
    }

    /// What tells this model from others; see [`ModelDirectory::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The tokenizer of the model.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Unit vectors of `texts`. A text longer than the model's `max_tokens` is cut off; a blank one gives the vector
    /// of `[CLS] [SEP]`.
    ///
    /// # Errors
    /// The tokenizer refuses a text, ONNX Runtime fails, the model gives a vector that is not finite or has no length,
    /// or nobody waits any more ([`while_waited_for`](super::while_waited_for)).
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Encoded> {
        let start = Instant::now();
        let Config { prefix, max_tokens, .. } = &self.config;
        let cut = |text: &T| match prefix.as_str() {
            "" => self.tokenizer.sentence(text.as_ref(), *max_tokens),
            prefix => self.tokenizer.sentence(&format!("{prefix}{}", text.as_ref()), *max_tokens),
        };
        let span = tracing::debug_span!("tokenise", texts = texts.len()).entered();
        // One query must not wait for another thread to wake up.
        let ids = if texts.len() < TEXTS_PER_THREAD {
            texts.iter().map(cut).collect::<Result<Vec<_>>>()?
        } else {
            texts.par_iter().with_min_len(TEXTS_PER_THREAD).map(cut).collect::<Result<Vec<_>>>()?
        };
        let tokenise = start.elapsed();
        drop(span);
        let _span = tracing::debug_span!("infer", texts = texts.len()).entered();
        let (vectors, mut timings) = self.encode_ids(ids)?;
        timings.tokenise = tokenise;
        Ok(Encoded { vectors, timings })
    }

    /// Sentences that wait for a batch.
    pub fn queued(&self) -> usize {
        self.batcher.queued()
    }

    /// How the cache is used.
    pub fn cache(&self) -> CacheUse {
        self.cache.usage()
    }

    /// Unit vectors of sentences that are cut already; each has 1 to `max_position_embeddings` ids.
    fn encode_ids(&self, sentences: Vec<Vec<u32>>) -> Result<(Vec<Vec<f32>>, EncodeTimings)> {
        if sentences.len() > CACHED_TEXTS {
            let (vectors, queue, infer) = self.batcher.encode(sentences)?;
            return Ok((vectors, EncodeTimings { queue, infer, ..Default::default() }));
        }
        let known: Vec<Option<Vec<f32>>> = sentences.iter().map(|ids| self.cache.get(ids)).collect();
        let unknown = sentences.iter().zip(&known).filter(|(_, vector)| vector.is_none());
        let unknown: Vec<Vec<u32>> = unknown.map(|(ids, _)| ids.clone()).collect();
        let (found, queue, infer) = self.batcher.encode(unknown)?;
        let mut found = found.into_iter();
        let mut encoded = |ids: &[u32]| {
            let vector = found.next().unwrap_or_default(); // one for each that was not known
            self.cache.put(ids, &vector);
            vector
        };
        let both = sentences.iter().zip(known);
        let vectors = both.map(|(ids, known)| known.unwrap_or_else(|| encoded(ids))).collect();
        Ok((vectors, EncodeTimings { queue, infer, ..Default::default() }))
    }
}

/// The network over one session: rows of ids, padded to the longest, to unit vectors.
struct Network {
    session: Session,
    pad: u32,
    dimension: usize,
}

impl Network {
    fn run(&mut self, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut ids = vec![i64::from(self.pad); rows.len() * width];
        let mut mask = vec![0_i64; ids.len()];
        for (i, row) in rows.iter().enumerate() {
            for (j, &id) in row.iter().enumerate() {
                (ids[i * width + j], mask[i * width + j]) = (i64::from(id), 1);
            }
        }
        let failed = || failed("encode");
        let ids = TensorRef::from_array_view(([rows.len(), width], &ids[..])).map_err(failed())?;
        let mask = TensorRef::from_array_view(([rows.len(), width], &mask[..])).map_err(failed())?;
        let inputs = ort::inputs!["input_ids" => ids, "attention_mask" => mask];
        let outputs = self.session.run(inputs).map_err(failed())?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>().map_err(failed())?;
        values.chunks_exact(self.dimension).map(unit).collect()
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("fingerprint", &self.fingerprint).field("config", &self.config).finish()
    }
}

/// The graph has normalised the vector; what is not of length 1 now was zero or not finite.
fn unit(vector: &[f32]) -> Result<Vec<f32>> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if (length - 1.0).abs() <= LENGTH_TOLERANCE {
        return Ok(vector.to_vec());
    }
    let message =
        format!("the model gave a sentence vector of length {length} where 1 was expected; its weights are unusable");
    Err(Error::Runtime { action: "encode".to_owned(), message })
}
