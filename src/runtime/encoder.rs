//! Texts to unit sentence vectors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::batcher::Batcher;
use super::call::Answer;
use super::network::{Loaded, Network, Reader, load};
use super::vector_cache::{CacheUse, VectorCache};
use super::weights::SharedWeights;
use super::{RuntimeOptions, Waiter, batcher};
use crate::model::{Config, ModelDirectory};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Calls of more texts than this pass the cache by: they are files, which would push out what people ask again.
const CACHED_TEXTS: usize = 32;
/// Texts of so many bytes are cut by a thread that must not be held up for long: in a tenth of a millisecond.
const BYTES_AT_ONCE: usize = 512;

/// The encoder half of a model. Callers may share it: what they ask for at the same time is computed together.
pub struct Encoder {
    batcher: Batcher,
    cache: Arc<VectorCache>,
    reader: Reader,
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
        let Loaded { reader, networks, fingerprint, weights } = load(directory, options, options.for_encoder())?;
        let run = |mut network: Network| Box::new(move |rows: &[&[u32]]| network.run(rows)) as batcher::Network;
        let batcher = Batcher::start(networks.into_iter().map(run).collect(), options.tokens_per_batch)?;
        let cache = Arc::new(VectorCache::new(options.cache_bytes, reader.config.hidden_size));
        Ok(Self { batcher, cache, reader, fingerprint, _weights: weights })
    }

    /// Width of the vectors.
    pub fn dimension(&self) -> usize {
        self.reader.config.hidden_size
    }

    /// What tells this model from others; see [`ModelDirectory::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The tokenizer of the model.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.reader.tokenizer
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.reader.config
    }

    /// Unit vectors of `texts`. A text longer than the model's `max_tokens` is cut off; a blank one gives the vector
    /// of `[CLS] [SEP]`.
    ///
    /// # Errors
    /// The tokenizer refuses a text, ONNX Runtime fails, the model gives a vector that is not finite or has no length,
    /// or nobody waits any more ([`while_waited_for`](super::while_waited_for)).
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Encoded> {
        let (sentences, tokenise) = self.reader.cut_all(texts)?;
        let _span = tracing::debug_span!("infer", texts = texts.len()).entered();
        let (unknown, rest) = self.recall(sentences);
        rest.complete(self.batcher.encode(unknown), tokenise)
    }

    /// As [`Encoder::encode`], without waiting for it: `then` gets the vectors on the thread that has them last. All
    /// callers need that thread, so `then` must not take long.
    pub fn encode_later(
        self: &Arc<Self>,
        texts: Vec<String>,
        waiter: Waiter,
        then: impl FnOnce(Result<Encoded>) + Send + 'static,
    ) {
        let this = Arc::clone(self);
        let bytes: usize = texts.iter().map(String::len).sum();
        let begin = move || match this.reader.cut_all(&texts) {
            Ok((sentences, tokenise)) => {
                let span = tracing::debug_span!("infer", texts = texts.len());
                let (unknown, rest) = this.recall(sentences);
                let answered = move |answer| {
                    drop(span);
                    then(rest.complete(answer, tokenise));
                };
                this.batcher.submit(unknown, waiter, Box::new(answered));
            }
            Err(error) => then(Err(error)),
        };
        if bytes <= BYTES_AT_ONCE {
            begin();
        } else {
            let span = tracing::Span::current();
            // A panic there would end the process; the caller misses the answer instead.
            rayon::spawn(move || _ = catch_unwind(AssertUnwindSafe(|| span.in_scope(begin))));
        }
    }

    /// Sentences that wait for a batch.
    pub fn queued(&self) -> usize {
        self.batcher.queued()
    }

    /// How the cache is used.
    pub fn cache(&self) -> CacheUse {
        self.cache.usage()
    }

    /// The sentences that the cache does not know, and what makes the whole of their vectors.
    fn recall(&self, sentences: Vec<Vec<u32>>) -> (Vec<Vec<u32>>, Recalled) {
        let cache = Arc::clone(&self.cache);
        if sentences.len() > CACHED_TEXTS {
            return (sentences, Recalled { cache, sentences: Vec::new() });
        }
        let known = sentences.into_iter().map(|ids| (cache.get(&ids), ids)).collect::<Vec<_>>();
        let unknown = known.iter().filter(|(vector, _)| vector.is_none()).map(|(_, ids)| ids.clone()).collect();
        (unknown, Recalled { sentences: known, cache })
    }
}

/// A call's sentences with the vectors that the cache had; none where it was passed by.
struct Recalled {
    sentences: Vec<(Option<Vec<f32>>, Vec<u32>)>,
    cache: Arc<VectorCache>,
}

impl Recalled {
    /// Puts the vectors that were not known among those that were.
    fn complete(self, answer: Answer, tokenise: Duration) -> Result<Encoded> {
        let (found, queue, infer) = answer?;
        let timings = EncodeTimings { queue, tokenise, infer };
        if self.sentences.is_empty() {
            return Ok(Encoded { vectors: found, timings });
        }
        let mut found = found.into_iter();
        let mut encoded = |ids: Vec<u32>| {
            let vector = found.next().unwrap_or_default(); // one for each that was not known
            self.cache.put(&ids, &vector);
            vector
        };
        let vectors = self.sentences.into_iter().map(|(known, ids)| known.unwrap_or_else(|| encoded(ids))).collect();
        Ok(Encoded { vectors, timings })
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("fingerprint", &self.fingerprint).field("config", &self.reader.config).finish()
    }
}
