//! The decoder: sources are read and samples go on from them, any number of both in one step.

use std::borrow::Cow;

use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorRef};

use super::cache::{Cache, Rows};
use super::pool::SessionPool;
use super::{RuntimeOptions, failed};
use crate::model::{Config, ModelDirectory};
use crate::onnx::Stamp;
use crate::{Error, Result};

/// The decoder half of a model. Callers may share it; each call waits for a free session.
pub struct Decoder {
    pool: SessionPool,
    config: Config,
    layers: Vec<LayerNames>,
    fingerprint: String,
}

/// Scores of the next token, one row for each that was asked for.
#[derive(Debug)]
pub struct Logits {
    values: DynValue,
    rows: usize,
}

/// What the graph calls the keys and values of one layer.
struct LayerNames {
    past: [String; 2],
    new: [String; 2],
}

impl LayerNames {
    fn new(layer: usize) -> Self {
        let names = |kind: &str| ["key", "value"].map(|part| format!("{kind}.{layer}.{part}"));
        Self { past: names("past"), new: names("new") }
    }
}

impl Logits {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows, each `[vocabulary]`, in the order in which they were asked for.
    ///
    /// # Errors
    /// A number is not finite: the weights are unusable.
    pub fn rows(&self) -> Result<impl ExactSizeIterator<Item = &[f32]>> {
        let (_, values) = self.values.try_extract_tensor::<f32>().map_err(failed("decode"))?;
        // By the bits of the exponent, all of which are set in no other number: a loop that the compiler vectorises.
        let endless = |value: &f32| u32::from(value.to_bits() & 0x7f80_0000 == 0x7f80_0000);
        if values.iter().fold(0, |found, value| found | endless(value)) != 0 {
            let message = "the model gave logits that are not finite; its weights are unusable".to_owned();
            return Err(Error::Runtime { action: "decode".to_owned(), message });
        }
        Ok(values.chunks_exact((values.len() / self.rows.max(1)).max(1)))
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
        let pool = SessionPool::open(&graph, options, options.for_decoder(directory.arithmetic()))?;
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

    /// How many steps can run side by side.
    pub fn sessions(&self) -> usize {
        self.pool.size()
    }

    /// An empty cache.
    pub fn cache(&self) -> Cache {
        Cache::new(self.config.num_hidden_layers, self.config.hidden_size)
    }

    /// Runs `rows`, which hold slots of `cache`, fills those slots, and scores what comes after the rows that ask.
    ///
    /// # Errors
    /// There is no row, one is not of this vocabulary or past the last position, or ONNX Runtime fails.
    pub fn step(&self, cache: &mut Cache, rows: &Rows) -> Result<Logits> {
        if rows.is_empty() {
            return Err(Error::invalid("rows of a step", "at least 1", 0));
        }
        self.check(rows)?;
        let failed = || failed("decode");
        let places = cache.places(rows);
        let slots = [cache.slots(), self.config.hidden_size];
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(6 + 2 * self.layers.len());
        let lists = [
            ("input_ids", &rows.ids),
            ("positions", &rows.positions),
            ("segments", &rows.segments),
            ("reads", &places),
            ("ends", &rows.ends),
            ("asked", &rows.asked),
        ];
        for (name, list) in lists {
            let list = TensorRef::from_array_view(([list.len()], &list[..])).map_err(failed())?;
            inputs.push((name.into(), list.into()));
        }
        for (names, parts) in self.layers.iter().zip(&cache.layers) {
            for (name, part) in names.past.iter().zip(parts) {
                // A view: the graph reads the cache where it lies.
                let part = TensorRef::from_array_view((slots, &part[..])).map_err(failed())?;
                inputs.push((name.as_str().into(), part.into()));
            }
        }
        let mut session = self.pool.borrow();
        let mut outputs = session.run(inputs).map_err(failed())?;
        let mut take = |name: &str| {
            outputs.remove(name).ok_or_else(|| Error::Internal(format!("the decoder graph has no output `{name}`")))
        };
        for (layer, names) in self.layers.iter().enumerate() {
            for (part, name) in names.new.iter().enumerate() {
                let new = take(name)?;
                cache.store(layer, part, &rows.slots, new.try_extract_tensor::<f32>().map_err(failed())?.1);
            }
        }
        Ok(Logits { values: take("logits")?, rows: rows.asked.len() })
    }

    /// ONNX Runtime refuses other numbers as well, but names a node of the graph where the caller needs the number.
    fn check(&self, rows: &Rows) -> Result<()> {
        let (words, positions) = (self.vocabulary() as i64, self.positions() as i64);
        if let Some(id) = rows.ids.iter().find(|&&id| id >= words) {
            return Err(Error::invalid("token id", format!("below {words}"), id));
        }
        if let Some(position) = rows.positions.iter().find(|&&position| position >= positions) {
            return Err(Error::invalid("tokens of source and target", format!("at most {positions}"), position + 1));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("fingerprint", &self.fingerprint).field("config", &self.config).finish()
    }
}
