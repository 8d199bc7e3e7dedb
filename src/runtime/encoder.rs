//! Texts to unit sentence vectors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ort::session::Session;
use ort::value::TensorRef;
use parking_lot::Mutex;
use rayon::prelude::*;

use super::batches::batches;
use super::pool::SessionPool;
use super::{RuntimeOptions, failed};
use crate::model::{Config, ModelDirectory};
use crate::onnx::Stamp;
use crate::text::Tokenizer;
use crate::{Error, Result};

/// How far the length of a vector may be from 1.
const LENGTH_TOLERANCE: f32 = 1e-3;
/// Fewer texts than this are cut by the calling thread alone.
const TEXTS_PER_THREAD: usize = 32;

/// The encoder half of a model. Callers may share it; each call waits for a free session.
pub struct Encoder {
    pool: SessionPool,
    tokenizer: Tokenizer,
    config: Config,
    fingerprint: String,
    tokens_per_batch: usize,
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
    /// Waiting for a free session, until the first batch could start.
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
        let pool = SessionPool::open(&graph, options)?;
        let fingerprint = stamp.fingerprint().to_owned();
        Ok(Self { pool, tokenizer, config, fingerprint, tokens_per_batch: options.tokens_per_batch })
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
    /// The tokenizer refuses a text, ONNX Runtime fails, or the model gives a vector that is not finite or has no
    /// length.
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Encoded> {
        let start = Instant::now();
        let Config { prefix, max_tokens, .. } = &self.config;
        let cut = |text: &T| match prefix.as_str() {
            "" => self.tokenizer.sentence(text.as_ref(), *max_tokens),
            prefix => self.tokenizer.sentence(&format!("{prefix}{}", text.as_ref()), *max_tokens),
        };
        // One query must not wait for another thread to wake up.
        let ids = if texts.len() < TEXTS_PER_THREAD {
            texts.iter().map(cut).collect::<Result<Vec<_>>>()?
        } else {
            texts.par_iter().with_min_len(TEXTS_PER_THREAD).map(cut).collect::<Result<Vec<_>>>()?
        };
        let tokenise = start.elapsed();
        let (vectors, mut timings) = self.encode_ids(&ids)?;
        timings.tokenise = tokenise;
        Ok(Encoded { vectors, timings })
    }

    /// Unit vectors of sentences that are cut already; each has 1 to `max_position_embeddings` ids.
    fn encode_ids(&self, sentences: &[Vec<u32>]) -> Result<(Vec<Vec<f32>>, EncodeTimings)> {
        let lengths: Vec<usize> = sentences.iter().map(Vec::len).collect();
        let batches = batches(&lengths, self.tokens_per_batch);
        let vectors = Mutex::new(vec![Vec::new(); sentences.len()]);
        let queue = Mutex::new(None);
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        // Each worker holds one session and takes the next batch until none is left, longest first so that the
        // workers end together.
        let work = || -> Result<()> {
            let mut session = self.pool.borrow();
            queue.lock().get_or_insert_with(|| start.elapsed());
            while let Some(batch) = batches.iter().rev().nth(next.fetch_add(1, Ordering::Relaxed)) {
                let rows: Vec<&[u32]> = batch.iter().map(|&i| &sentences[i][..]).collect();
                let found = self.run(&mut session, &rows)?;
                let mut vectors = vectors.lock();
                for (&i, vector) in batch.iter().zip(found) {
                    vectors[i] = vector;
                }
            }
            Ok(())
        };
        match self.pool.size().min(batches.len()) {
            0 => {}
            1 => work()?,
            workers => std::thread::scope(|scope| {
                let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
                threads.into_iter().try_for_each(|thread| {
                    thread.join().unwrap_or_else(|_| Err(Error::Internal("an encoder thread panicked".to_owned())))
                })
            })?,
        }
        let queue = queue.into_inner().unwrap_or_default();
        let infer = start.elapsed().saturating_sub(queue);
        Ok((vectors.into_inner(), EncodeTimings { queue, infer, ..Default::default() }))
    }

    /// Runs the network over rows of ids, padded to the longest.
    fn run(&self, session: &mut Session, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut ids = vec![i64::from(self.tokenizer.special().pad); rows.len() * width];
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
        let outputs = session.run(inputs).map_err(failed())?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>().map_err(failed())?;
        values.chunks_exact(self.config.hidden_size).map(unit).collect()
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
