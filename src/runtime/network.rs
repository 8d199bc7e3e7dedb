//! The encoder's network over one session, and the reader of its texts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ort::session::Session;
use ort::value::TensorRef;
use rayon::prelude::*;

use super::weights::SharedWeights;
use super::{RuntimeOptions, failed, pool};
use crate::model::{Config, ModelDirectory};
use crate::onnx::Stamp;
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Fewer texts than this are cut by the calling thread alone.
const TEXTS_PER_THREAD: usize = 32;
/// How far the length of a vector may be from 1.
const LENGTH_TOLERANCE: f32 = 1e-3;

/// What comes of a model directory: its reader of texts, and the network once for each session.
pub(super) struct Loaded {
    pub reader: Reader,
    pub networks: Vec<Network>,
    pub fingerprint: String,
    pub weights: Arc<SharedWeights>,
}

/// Loads the encoder's graph of `directory` once for each session, with so many threads.
///
/// # Errors
/// See [`Encoder::open`](super::Encoder::open).
pub(super) fn load(
    directory: &ModelDirectory,
    options: &RuntimeOptions,
    (sessions, threads): (usize, usize),
) -> Result<Loaded> {
    let graph = directory.encoder_path();
    let fingerprint = Stamp::check(directory, &graph)?.fingerprint().to_owned();
    let config = directory.config()?;
    let tokenizer = Tokenizer::from_file(directory.tokenizer_path())?;
    if tokenizer.vocabulary() > config.vocab_size {
        let comment = format!("expected at most {} pieces, found {}", config.vocab_size, tokenizer.vocabulary());
        return Err(Error::corrupt(directory.tokenizer_path(), comment));
    }
    let (pad, dimension) = (tokenizer.special().pad, config.hidden_size);
    let (sessions, weights) = pool::sessions(&graph, options, sessions, threads)?;
    let networks = sessions.into_iter().map(|session| Network { session, pad, dimension }).collect();
    Ok(Loaded { reader: Reader { tokenizer, config }, networks, fingerprint, weights })
}

/// Reads texts as the model wants them.
pub(super) struct Reader {
    pub tokenizer: Tokenizer,
    pub config: Config,
}

impl Reader {
    /// The ids of a text behind the model's prefix, cut off at its `max_tokens`.
    ///
    /// # Errors
    /// The tokenizer refuses it.
    pub fn cut(&self, text: &str) -> Result<Vec<u32>> {
        match self.config.prefix.as_str() {
            "" => self.tokenizer.sentence(text, self.config.max_tokens),
            prefix => self.tokenizer.sentence(&format!("{prefix}{text}"), self.config.max_tokens),
        }
    }

    /// The ids of each text, and how long that took.
    ///
    /// # Errors
    /// As for [`Reader::cut`].
    pub fn cut_all<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<(Vec<Vec<u32>>, Duration)> {
        let started = Instant::now();
        let _span = tracing::debug_span!("tokenise", texts = texts.len()).entered();
        let cut = |text: &T| self.cut(text.as_ref());
        // One query must not wait for another thread to wake up.
        let ids = if texts.len() < TEXTS_PER_THREAD {
            texts.iter().map(cut).collect::<Result<_>>()?
        } else {
            texts.par_iter().with_min_len(TEXTS_PER_THREAD).map(cut).collect::<Result<_>>()?
        };
        Ok((ids, started.elapsed()))
    }
}

/// The network over one session: rows of ids, padded to the longest, to unit vectors.
pub(super) struct Network {
    session: Session,
    pad: u32,
    dimension: usize,
}

impl Network {
    /// A vector for each row of ids.
    ///
    /// # Errors
    /// ONNX Runtime fails, or a vector is not finite or has no length.
    pub fn run(&mut self, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
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
