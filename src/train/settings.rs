//! The training configuration: one TOML file says everything a run depends on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Compute, Pooling, Precision};
use crate::{Error, Result};

/// Settings by name, for a configuration to start from. `reference` is the published run of SimBERT, number for number.
pub const PRESETS: [(&str, &str); 1] = [("reference", include_str!("presets/reference.toml"))];

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
    /// How matrix products are computed in training, and for a teacher's vectors. `bf16` on a GPU also has the states
    /// between them in bf16; weights, optimiser and losses stay in f32.
    #[serde(default)]
    pub compute: Compute,
    /// Dropout rate; absent: the base's own.
    #[serde(default)]
    pub dropout: Option<f64>,
    /// The base's layers to keep, from 0 and in this order, for a shallower student; absent: all.
    #[serde(default)]
    pub layers: Option<Vec<usize>>,
    /// The embeddings and so many of the first layers keep their weights: a step is faster by up to two thirds of their
    /// share of the network, and what they know is not forgotten. 0 for none.
    #[serde(default)]
    pub frozen_layers: usize,
}

/// What is trained on, and how batches are drawn from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSettings {
    /// Sentences that mean the same: `.jsonl` files of `{"text": …, "synonyms": […]}` groups, which may add
    /// `"negatives": […]` that do not mean the same and a `"domain"`, and `.tsv` files of pairs with the source in an
    /// optional third column.
    pub pairs: Vec<PathBuf>,
    /// `.tsv` files of pairs that do not mean the same, the source in an optional third column.
    pub negatives: Vec<PathBuf>,
    /// Sentences of any kind, one a line, that are written from a noisy copy of themselves, so that the decoder does
    /// not learn that everything is a question.
    pub texts: Vec<PathBuf>,
    /// Files whose sentences (any tab-separated column) must not be trained on: every group, pair or text that has one
    /// is left out, after folding width, case, space and punctuation.
    pub exclude: Vec<PathBuf>,
    /// Most tokens of a packed pair.
    pub max_tokens: usize,
    /// Longer sentences are cut at a separator to this many characters; absent: only by tokens.
    pub max_characters: Option<usize>,
    /// Leave out groups whose first two sentences share more of their characters than this, 0 to 1 (intersection over
    /// union of the folded characters), so that what is left says the same in other words.
    pub max_overlap: Option<f64>,
    /// Join groups of one source that share a sentence, up to this many sentences; absent: do not.
    pub largest_group: Option<usize>,
    /// Make each batch of one source where it can be, so that its sentences are hard to tell apart.
    pub by_source: bool,
    /// Most groups of one source in an epoch, so that a large source does not drown the others; absent: all.
    pub most_of_source: Option<usize>,
    /// The same for single sources, by their name.
    pub most_of: BTreeMap<String, usize>,
    /// Sentences drawn from a group at a time.
    pub per_group: usize,
    /// Pairs of a batch that do not mean the same: the negatives of its groups first, then loose pairs of its source.
    pub batch_negatives: usize,
    /// Sources whose unlike pairs take part in the ranking too, by their name; absent: all. In others they are negatives of
    /// the softmax only. Near misses made of the words of a group teach the ranking that shared words mean another thing.
    pub ranked: Option<Vec<String>>,
    /// Texts of a batch.
    pub batch_texts: usize,
    /// Groups of a batch that are written as well as compared; absent: all.
    pub written_pairs: Option<usize>,
    /// Of those, only pairs whose share of common characters is in this range: from too different a sentence nothing
    /// can be learnt about writing, from too like a one only copying.
    pub written_overlap: [f64; 2],
    /// Probability that noise falls on the source of a pair that is written.
    pub noise: f64,
    /// Share of its words that noise falls on; 0 for no noise at all.
    pub noise_rate: f64,
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
    /// Decoupled weight decay, of matrices only unless `decay_all`.
    #[serde(default = "weight_decay")]
    pub weight_decay: f64,
    /// Whether biases and normalisations decay too.
    #[serde(default)]
    pub decay_all: bool,
    /// Sequences that go through the network at a time, to bound memory; absent: the whole batch. The similarity losses
    /// still see the whole batch (GradCache, Gao et al. 2021), for one more pass forward.
    #[serde(default)]
    pub micro_batch: Option<usize>,
    /// Score and finish with a running mean of the weights, of which each step keeps this share: 0.995 is a mean over
    /// about the last 200 steps; absent: no mean.
    #[serde(default)]
    pub average: Option<f64>,
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

/// What is minimised: `generation · L_gen + similarity · L_sim + ranking · L_rank`, see [`losses`](super::losses).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossSettings {
    pub generation: f64,
    pub similarity: f64,
    /// Cosines are multiplied by it before the softmax.
    pub scale: f64,
    /// Every positive pair above every pair that is labelled unlike, within a batch.
    pub ranking: f64,
    #[serde(default)]
    pub ranking_form: Ranking,
    /// Differences of cosines are multiplied by it in the ranking.
    pub ranking_scale: f64,
}

/// How the ranking loss weighs its pairs, see [`losses::ranking`](super::losses::ranking).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ranking {
    /// By the worst pair.
    #[default]
    Cosent,
    /// By all pairs, for labels that are sometimes wrong.
    Logistic,
}

/// A model whose cosines the network's shall follow: adds `weight · L_teacher`, see
/// [`losses::relation`](super::losses::relation).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherSettings {
    /// Its model directory; it may have another tokenizer and width than the base.
    pub model: PathBuf,
    /// Its sentence vector; absent: its own.
    #[serde(default)]
    pub pooling: Option<Pooling>,
    /// What is put before each text for it; absent: what its own configuration says.
    #[serde(default)]
    pub prefix: Option<String>,
    pub weight: f64,
    /// File that keeps its vectors, for this run and others; absent: `teacher.safetensors` in the run's folder.
    #[serde(default)]
    pub cache: Option<PathBuf>,
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
    /// Finish with the weights of the best mean of the dev scores, not with the last ones.
    pub best: bool,
    /// Stop after this many scorings without a better mean; absent: never.
    pub patience: Option<u64>,
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
    /// Tab-separated: sentence, sentence, label; scored by Spearman × 100. With `standard`: query, id; scored by the
    /// share of queries whose nearest standard question has their id, × 100.
    pub path: PathBuf,
    /// Tab-separated: id, standard question.
    #[serde(default)]
    pub standard: Option<PathBuf>,
    /// Steps between scores.
    pub every: u64,
    /// Use at most this many pairs, from the start of the file.
    #[serde(default = "dev_limit")]
    pub limit: usize,
}

fn seed() -> u64 {
    42
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

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            pairs: Vec::new(),
            negatives: Vec::new(),
            texts: Vec::new(),
            exclude: Vec::new(),
            max_tokens: 64,
            max_characters: None,
            max_overlap: None,
            largest_group: None,
            by_source: true,
            most_of_source: None,
            most_of: BTreeMap::new(),
            per_group: 2,
            batch_negatives: 0,
            ranked: None,
            batch_texts: 0,
            written_pairs: None,
            written_overlap: [0.0, 1.0],
            noise: 0.5,
            noise_rate: 0.0,
        }
    }
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self {
            steps: 1_000,
            batch_pairs: 32,
            learning_rate: 5e-5,
            warmup_steps: 0,
            schedule: Schedule::default(),
            weight_decay: weight_decay(),
            decay_all: false,
            micro_batch: None,
            average: None,
            clip_norm: clip_norm(),
        }
    }
}

impl Default for LossSettings {
    fn default() -> Self {
        Self {
            generation: 1.0,
            similarity: 1.0,
            scale: 30.0,
            ranking: 0.0,
            ranking_form: Ranking::default(),
            ranking_scale: 20.0,
        }
    }
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { every: 500, best: false, patience: None }
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
        Self::from_file_over(path, None)
    }

    /// Reads and checks a TOML file; what it leaves open comes from the preset of this name, see [`PRESETS`].
    ///
    /// # Errors
    /// There is no such preset, the file cannot be read, has an unknown or missing key, or a value out of range.
    pub fn from_file_over(path: impl AsRef<Path>, preset: Option<&str>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the training configuration", path, e))?;
        let bad = |e: &toml::de::Error| Error::bad_toml(path, &text, e);
        let mut settings: Self = match preset {
            None => toml::from_str(&text).map_err(|e| bad(&e))?,
            Some(name) => {
                let Some((_, preset)) = PRESETS.iter().find(|(known, _)| *known == name) else {
                    let known: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
                    return Err(Error::invalid("preset", known.join(", "), name));
                };
                let own: toml::Table = toml::from_str(&text).map_err(|e| bad(&e))?;
                let mut whole: toml::Table = toml::from_str(preset).map_err(|e| Error::Internal(e.to_string()))?;
                lay_over(&mut whole, own);
                // What is laid together has no lines; the same error in the file alone has one.
                let located = |e: toml::de::Error| {
                    toml::from_str::<Self>(&text).err().filter(|own| own.message() == e.message()).unwrap_or(e)
                };
                whole.try_into().map_err(|e| bad(&located(e)))?
            }
        };
        settings.validate()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        // One spelling for each file, so that a checkpoint made from another folder is not taken for another run's.
        let resolve = |file: &mut PathBuf| {
            *file = folder.join(&*file);
            // A cache may not be there yet, but its folder is.
            let beside = |file: &Path| Some(file.parent()?.canonicalize().ok()?.join(file.file_name()?));
            *file = file.canonicalize().ok().or_else(|| beside(file)).unwrap_or_else(|| file.clone());
        };
        resolve(&mut settings.output);
        resolve(&mut settings.model.base);
        settings.teacher.iter_mut().map(|teacher| &mut teacher.model).for_each(resolve);
        settings.teacher.iter_mut().filter_map(|teacher| teacher.cache.as_mut()).for_each(resolve);
        let DataSettings { pairs, negatives, texts, exclude, .. } = &mut settings.data;
        [pairs, negatives, texts, exclude].into_iter().flatten().for_each(resolve);
        settings.dev.iter_mut().map(|dev| &mut dev.path).for_each(resolve);
        settings.dev.iter_mut().filter_map(|dev| dev.standard.as_mut()).for_each(resolve);
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
        let loss = &self.loss;
        let weights = loss.generation.min(loss.similarity).min(loss.ranking).min(loss.ranking_scale);
        check(weights >= 0.0, "loss.*", "0 or more", &weights)?;
        let data = &self.data;
        check(data.per_group >= 2, "data.per_group", "at least 2", &data.per_group)?;
        check((0.0..=1.0).contains(&data.noise), "data.noise", "in [0, 1]", &data.noise)?;
        check((0.0..=1.0).contains(&data.noise_rate), "data.noise_rate", "in [0, 1]", &data.noise_rate)?;
        check(data.most_of_source != Some(0), "data.most_of_source", "at least 1", &0)?;
        let texts = data.batch_texts == 0 || (!data.texts.is_empty() && data.noise_rate > 0.0);
        check(texts, "data.batch_texts", "0 without `data.texts` and `data.noise_rate`", &data.batch_texts)?;
        let labelled = loss.ranking == 0.0 || data.batch_negatives > 0;
        check(labelled, "loss.ranking", "0 without `data.batch_negatives`", &loss.ranking)?;
        let scored = !(self.checkpoint.best || self.checkpoint.patience.is_some()) || !self.dev.is_empty();
        check(scored, "checkpoint.best and checkpoint.patience", "absent without `[[dev]]`", &"one of them")?;
        let average = optimizer.average.unwrap_or(0.0);
        check((0.0..1.0).contains(&average), "optimizer.average", "in [0, 1)", &average)?;
        check(optimizer.micro_batch != Some(0), "optimizer.micro_batch", "at least 1", &0)?;
        check(loss.generation + loss.similarity + loss.ranking > 0.0, "loss.*", "one above 0", &"zeros")?;
        let teacher = self.teacher.as_ref().map_or(0.0, |teacher| teacher.weight);
        check(teacher >= 0.0, "teacher.weight", "0 or more", &teacher)?;
        check(self.checkpoint.every > 0, "checkpoint.every", "at least 1", &self.checkpoint.every)?;
        let dropout = self.model.dropout.unwrap_or(0.0);
        check((0.0..1.0).contains(&dropout), "model.dropout", "in [0, 1)", &dropout)?;
        check(self.dev.iter().all(|dev| dev.every > 0), "dev.every", "at least 1", &0)
    }
}

/// Puts the values of `over` in place of those of `table`, table by table.
fn lay_over(table: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(over)) => lay_over(below, over),
            (_, value) => _ = table.insert(key, value),
        }
    }
}
