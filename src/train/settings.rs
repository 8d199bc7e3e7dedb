//! The training configuration: one TOML file says everything a run depends on.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Compute, Pooling, Precision};
use crate::{Error, Result};

/// A whole training run. Relative paths start at the folder of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of the run: checkpoint, log, plot, samples and the finished model.
    pub output: PathBuf,
    pub model: ModelSettings,
    pub data: DataSettings,
    pub optimizer: OptimizerSettings,
    #[serde(default)]
    pub loss: LossSettings,
    /// Keeps the space of sentence vectors like that of another model.
    #[serde(default)]
    pub teacher: Option<TeacherSettings>,
    #[serde(default)]
    pub checkpoint: CheckpointSettings,
    #[serde(default)]
    pub samples: SampleSettings,
    /// Scored against the labels as training goes on.
    #[serde(default)]
    pub dev: Vec<DevSettings>,
    /// Every random choice of the run comes from it.
    #[serde(default = "seed")]
    pub seed: u64,
}

/// Where the network starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// A model directory or Hugging Face BERT directory. Without `from_scratch`, its weights are the start.
    pub base: PathBuf,
    /// Take only the shape and the tokenizer of `base`, and start from random weights.
    #[serde(default)]
    pub from_scratch: bool,
    /// The sentence vector; absent: the base's own.
    #[serde(default)]
    pub pooling: Option<Pooling>,
    /// How the finished weights are stored.
    #[serde(default)]
    pub precision: Precision,
    /// How matrix products are computed in training, those of a teacher included.
    #[serde(default)]
    pub compute: Compute,
    /// Dropout rate; absent: the base's own.
    #[serde(default)]
    pub dropout: Option<f64>,
}

/// What is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// `.jsonl` files of `{"text": …, "synonyms": […]}` groups and `.tsv` files of pairs, further columns ignored.
    pub pairs: Vec<PathBuf>,
    /// Most tokens of a packed pair.
    #[serde(default = "max_tokens")]
    pub max_tokens: usize,
    /// Leave out groups whose first two sentences share more of their characters than this, 0 to 1 (intersection over
    /// union of the folded characters), so that what is left says the same in other words.
    #[serde(default)]
    pub max_overlap: Option<f64>,
    /// Files whose sentences (any tab-separated column) must not be trained on: every group that shares one is left
    /// out, after folding width, case, space and punctuation.
    #[serde(default)]
    pub exclude: Vec<PathBuf>,
}

/// How the weights move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSettings {
    /// Steps of the whole run.
    pub steps: u64,
    /// Pairs of one batch; each is trained in both directions, so a batch has twice as many sequences.
    pub batch_pairs: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps from zero to the peak.
    #[serde(default)]
    pub warmup_steps: u64,
    #[serde(default)]
    pub schedule: Schedule,
    /// Decoupled weight decay, of matrices only.
    #[serde(default = "weight_decay")]
    pub weight_decay: f64,
    /// Longest gradient, as the l2 norm over all parameters; 0 for no clipping.
    #[serde(default = "clip_norm")]
    pub clip_norm: f64,
}

/// The learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Constant,
    /// A straight line to zero.
    #[default]
    Linear,
    /// Half a cosine to zero.
    Cosine,
}

/// What is minimised: `generation · L_gen + similarity · L_sim`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossSettings {
    pub generation: f64,
    pub similarity: f64,
    /// Cosines are multiplied by it before the softmax.
    pub scale: f64,
}

/// A model whose cosines the network's shall follow: adds `weight · L_teacher`, see
/// [`losses::relation`](super::losses::relation).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherSettings {
    /// Its model directory; its tokenizer must be the base's.
    pub model: PathBuf,
    /// Its sentence vector; absent: its own.
    #[serde(default)]
    pub pooling: Option<Pooling>,
    pub weight: f64,
    /// Make each batch of sentences that the teacher finds near one another, so that the negatives are hard.
    #[serde(default)]
    pub neighbours: bool,
    /// Sentences whose teacher cosine is above this are no negatives of each other; absent: all are.
    #[serde(default)]
    pub same_above: Option<f64>,
}

/// When the run is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSettings {
    /// Steps between checkpoints.
    pub every: u64,
}

/// Questions generated as training goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleSettings {
    /// Steps between samples; 0 for none.
    pub every: u64,
    pub questions: Vec<String>,
    /// Samples for each question.
    pub count: usize,
}

/// A labelled file to score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevSettings {
    pub name: String,
    /// Tab-separated: sentence, sentence, label.
    pub path: PathBuf,
    /// Steps between scores.
    pub every: u64,
    /// Use at most this many pairs, from the start of the file.
    #[serde(default = "dev_limit")]
    pub limit: usize,
}

fn seed() -> u64 {
    42
}
fn max_tokens() -> usize {
    64
}
fn weight_decay() -> f64 {
    0.01
}
fn clip_norm() -> f64 {
    1.0
}
fn dev_limit() -> usize {
    1000
}

impl Default for LossSettings {
    fn default() -> Self {
        Self { generation: 1.0, similarity: 1.0, scale: 30.0 }
    }
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { every: 500 }
    }
}

impl Default for SampleSettings {
    fn default() -> Self {
        Self { every: 0, questions: Vec::new(), count: 3 }
    }
}

impl Settings {
    /// Reads and checks a TOML file.
    ///
    /// # Errors
    /// The file cannot be read, has an unknown or missing key, or a value out of range.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the training configuration", path, e))?;
        let mut settings: Self = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(0, |span| text[..span.start].matches('\n').count() as u64 + 1);
            Error::BadLine { path: path.to_owned(), line, reason: e.message().to_owned() }
        })?;
        settings.validate()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        // One spelling for each file, so that a checkpoint made from another folder is not taken for another run's.
        let resolve = |file: &mut PathBuf| {
            *file = folder.join(&*file);
            *file = file.canonicalize().unwrap_or_else(|_| file.clone());
        };
        resolve(&mut settings.output);
        resolve(&mut settings.model.base);
        settings.teacher.iter_mut().map(|teacher| &mut teacher.model).for_each(resolve);
        settings.data.pairs.iter_mut().chain(&mut settings.data.exclude).for_each(resolve);
        settings.dev.iter_mut().map(|dev| &mut dev.path).for_each(resolve);
        Ok(settings)
    }

    fn validate(&self) -> Result<()> {
        let check = |fine: bool, name: &str, expected: &str, received: &dyn std::fmt::Display| {
            if fine { Ok(()) } else { Err(Error::invalid(format!("training setting `{name}`"), expected, received)) }
        };
        let optimizer = &self.optimizer;
        let rate = optimizer.learning_rate;
        check(!self.data.pairs.is_empty(), "data.pairs", "at least one file", &"none")?;
        check(self.data.max_tokens >= 5, "data.max_tokens", "at least 5", &self.data.max_tokens)?;
        check(optimizer.steps > 0, "optimizer.steps", "at least 1", &optimizer.steps)?;
        check(optimizer.batch_pairs >= 2, "optimizer.batch_pairs", "at least 2", &optimizer.batch_pairs)?;
        check(rate > 0.0 && rate < 1.0, "optimizer.learning_rate", "between 0 and 1", &rate)?;
        check(optimizer.clip_norm >= 0.0, "optimizer.clip_norm", "0 or more", &optimizer.clip_norm)?;
        check(
            (0.0..1.0).contains(&optimizer.weight_decay),
            "optimizer.weight_decay",
            "in [0, 1)",
            &optimizer.weight_decay,
        )?;
        check(self.loss.scale > 0.0, "loss.scale", "above 0", &self.loss.scale)?;
        let weights = self.loss.generation.min(self.loss.similarity);
        check(weights >= 0.0, "loss.generation and loss.similarity", "0 or more", &weights)?;
        check(
            self.loss.generation + self.loss.similarity > 0.0,
            "loss.generation and loss.similarity",
            "one above 0",
            &"0 and 0",
        )?;
        let teacher = self.teacher.as_ref().map_or(0.0, |teacher| teacher.weight);
        check(teacher >= 0.0, "teacher.weight", "0 or more", &teacher)?;
        check(self.checkpoint.every > 0, "checkpoint.every", "at least 1", &self.checkpoint.every)?;
        let dropout = self.model.dropout.unwrap_or(0.0);
        check((0.0..1.0).contains(&dropout), "model.dropout", "in [0, 1)", &dropout)?;
        check(self.dev.iter().all(|dev| dev.every > 0), "dev.every", "at least 1", &0)
    }
}
