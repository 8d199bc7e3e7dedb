//! The loop: batch, losses, gradients, step; checkpoints and reports on the way.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Tensor};

use super::pairs::{Batches, Pairs, overlap};
use super::report::{Report, StepReport};
use super::{
    AdamW, Checkpoint, DevSettings, OptimizerSettings, Settings, TeacherSettings, learning_rate, losses, samples,
};
use crate::metrics;
use crate::model::{Bert, Config, Dropout, ModelDirectory, Precision, Weights, ops};
use crate::text::{Batch, Tokenizer};
use crate::{Error, Result};

/// What to do with the checkpoint of an earlier run in the same folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// There must be none.
    Fresh,
    /// Go on from it; there must be one.
    Resume,
    /// Forget it.
    Restart,
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// What is trained on which device: before the first step.
    Begin {
        groups: usize,
        excluded: usize,
        parameters: usize,
        /// Parameters that the base lacked and that start as identities, ones or zeros.
        started: &'a [String],
        /// Steps already taken.
        step: u64,
    },
    Step(&'a StepReport),
    Samples {
        step: u64,
        samples: &'a [(String, Vec<String>)],
    },
    Checkpoint {
        step: u64,
        folder: &'a Path,
    },
}

/// What a finished run leaves.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The finished model directory; none when the run was stopped before its last step.
    pub model: Option<PathBuf>,
    /// Steps taken, those of earlier processes counted.
    pub steps: u64,
    /// Of this process's part of the run.
    pub tokens_per_second: f64,
}

/// A run in progress.
pub struct Trainer {
    settings: Settings,
    network: Bert,
    teacher: Option<Bert>,
    tokenizer: Tokenizer,
    batches: Batches,
    optimizer: AdamW,
    report: Report,
    checkpoint: Checkpoint,
    dropout: f64,
    step: u64,
    begin: (usize, usize, Vec<String>),
}

impl Trainer {
    /// Reads everything the run needs.
    ///
    /// # Errors
    /// A file is missing or bad, or the checkpoint and `start` do not fit.
    pub fn open(settings: Settings, start: Start, device: &Device) -> Result<Self> {
        let base = ModelDirectory::open(&settings.model.base)?;
        let config = base.config()?;
        let tokenizer = Tokenizer::from_file(base.tokenizer_path())?;
        if tokenizer.vocabulary() > config.vocab_size {
            return Err(Error::invalid(
                format!("{}", base.tokenizer_path().display()),
                format!("at most the {} pieces of config.json", config.vocab_size),
                tokenizer.vocabulary(),
            ));
        }
        if settings.data.max_tokens > config.max_position_embeddings {
            return Err(Error::invalid(
                "training setting `data.max_tokens`",
                format!("at most the {} positions of the base", config.max_position_embeddings),
                settings.data.max_tokens,
            ));
        }
        let output = &settings.output;
        std::fs::create_dir_all(output).map_err(|e| Error::io("make the run's folder", output, e))?;
        let checkpoint = Checkpoint::of(output);
        checkpoint.recover()?;
        let resume = match (start, checkpoint.exists()) {
            (Start::Fresh, true) => {
                return Err(Error::AlreadyExists {
                    kind: "checkpoint",
                    name: checkpoint.folder().display().to_string(),
                    hint: "go on from it with `--resume`, or forget it with `--restart`".to_owned(),
                });
            }
            (Start::Resume, false) => {
                return Err(Error::NotFound {
                    kind: "checkpoint",
                    name: checkpoint.folder().display().to_string(),
                    hint: "start the run without `--resume`".to_owned(),
                });
            }
            (start, _) => start == Start::Resume,
        };
        let config = Config { pooling: settings.model.pooling.unwrap_or(config.pooling), ..config };
        let teacher = settings.teacher.as_ref().map(|teacher| teacher_of(teacher, &tokenizer, device)).transpose()?;
        let teacher = teacher.map(|teacher| teacher.with_compute(settings.model.compute));
        let (weights, started) = if resume {
            (Weights::load(&checkpoint.weights_path(), &config, device)?.0, Vec::new())
        } else if settings.model.from_scratch {
            (Weights::random(&config, settings.seed, device)?, Vec::new())
        } else {
            Weights::load(&base.weights_path(), &config, device)?
        };
        let mut optimizer = AdamW::new(&weights, settings.optimizer.weight_decay, settings.optimizer.clip_norm)?;
        let mut step = 0;
        if resume {
            let (steps, state) = checkpoint.load(&settings)?;
            optimizer.restore(&state, steps)?;
            step = steps;
        }
        let Pairs { mut groups, excluded } = Pairs::read(&settings.data.pairs, &settings.data.exclude)?;
        if let Some(most) = settings.data.max_overlap {
            groups.retain(|group| overlap(&group[0], &group[1]) <= most);
            if groups.len() < 2 {
                return Err(Error::invalid(
                    "training setting `data.max_overlap`",
                    "a value that leaves two or more groups",
                    format!("{most}, which leaves {}", groups.len()),
                ));
            }
        }
        let begin = (groups.len(), excluded, started);
        let OptimizerSettings { batch_pairs, steps, .. } = settings.optimizer;
        let mut batches = Batches::new(groups, batch_pairs, settings.data.max_tokens, settings.seed);
        if let (Some(teacher), true) = (&teacher, settings.teacher.as_ref().is_some_and(|teacher| teacher.neighbours)) {
            batches = batches.of_neighbours(steps, |first| vectors(teacher, &tokenizer, first))?;
        }
        Ok(Self {
            dropout: settings.model.dropout.unwrap_or(config.hidden_dropout_prob),
            batches,
            report: Report::open(output, step)?,
            network: Bert::new(config, weights, device.clone()).with_compute(settings.model.compute),
            teacher,
            tokenizer,
            optimizer,
            checkpoint,
            step,
            begin,
            settings,
        })
    }

    /// The network as it stands.
    pub fn network(&self) -> &Bert {
        &self.network
    }

    /// Takes all the steps that are left, or those up to `last`, and writes the model to `model/` in the run's folder.
    /// `tell` hears of every step; it returns whether to go on. A run that is told to stop leaves a checkpoint only.
    ///
    /// # Errors
    /// A step fails or a file cannot be written.
    pub fn run(mut self, last: Option<u64>, mut tell: impl FnMut(Event<'_>) -> bool) -> Result<Outcome> {
        let (groups, excluded, started) = std::mem::take(&mut self.begin);
        ops::keep_freed_memory();
        let parameters = self.network.weights().count();
        tell(Event::Begin { groups, excluded, parameters, started: &started, step: self.step });
        let (began, mut tokens) = (Instant::now(), 0);
        let last = last.map_or(self.settings.optimizer.steps, |last| last.min(self.settings.optimizer.steps));
        while self.step < last {
            let report = self.step()?;
            tokens += report.tokens;
            let go_on = tell(Event::Step(&report));
            self.report.step(report)?;
            let (step, every) = (self.step, self.settings.samples.every);
            if every > 0 && step.is_multiple_of(every) {
                let samples = self.samples()?;
                self.report.samples(step, &samples)?;
                tell(Event::Samples { step, samples: &samples });
            }
            if step.is_multiple_of(self.settings.checkpoint.every) || !go_on || step == last {
                self.save()?;
                tell(Event::Checkpoint { step, folder: self.checkpoint.folder() });
            }
            if !go_on {
                break;
            }
        }
        let finished = self.step >= last;
        let model = finished.then(|| self.finish()).transpose()?;
        let tokens_per_second = tokens as f64 / began.elapsed().as_secs_f64();
        Ok(Outcome { model, steps: self.step, tokens_per_second })
    }

    /// Takes one step.
    ///
    /// # Errors
    /// The gradient is not finite, or the device fails.
    pub fn step(&mut self) -> Result<StepReport> {
        let began = Instant::now();
        let batch = self.batches.batch(self.step, &self.tokenizer)?;
        let seed = self.settings.seed.rotate_left(32) ^ self.step;
        let states = self.network.forward(&batch, Some(Dropout { rate: self.dropout, seed }))?;
        let vectors = self.network.sentence_vectors(&states, &batch)?;
        let loss = &self.settings.loss;
        let taught = self.taught(&batch)?;
        let same = match (&taught, self.settings.teacher.as_ref().and_then(|teacher| teacher.same_above)) {
            (Some(taught), Some(above)) => Some(losses::same(taught, above)?),
            _ => None,
        };
        let similarity = losses::similarity(&vectors, loss.scale, same.as_ref())?;
        let generation = losses::generation(&self.network, &states, &batch)?;
        let mut total = ((&generation * loss.generation)? + (&similarity * loss.similarity)?)?;
        let mut relation_loss = None;
        if let (Some(taught), Some(settings)) = (&taught, &self.settings.teacher) {
            let relation = losses::relation(&vectors, taught)?;
            total = (total + (&relation * settings.weight)?)?;
            relation_loss = Some(f64::from(relation.to_scalar::<f32>()?));
        }
        let gradients = total.backward()?;
        let learning_rate = learning_rate(self.step, &self.settings.optimizer);
        let gradient_norm = self.optimizer.step(self.network.weights(), &gradients, learning_rate)?;
        self.step += 1;
        let mut report = StepReport {
            step: self.step,
            generation_loss: f64::from(generation.to_scalar::<f32>()?),
            similarity_loss: f64::from(similarity.to_scalar::<f32>()?),
            relation_loss,
            in_batch_accuracy: losses::in_batch_accuracy(&vectors.detach())?,
            gradient_norm,
            learning_rate,
            tokens: batch.tokens(),
            seconds: began.elapsed().as_secs_f64(),
            dev: Vec::new(),
        };
        for dev in &self.settings.dev {
            if self.step.is_multiple_of(dev.every) || self.step == self.settings.optimizer.steps {
                report.dev.push((dev.name.clone(), self.score(dev)?));
            }
        }
        Ok(report)
    }

    /// The teacher's vectors of a batch's sources, where there is a teacher.
    fn taught(&self, batch: &Batch) -> Result<Option<Tensor>> {
        let Some(teacher) = &self.teacher else { return Ok(None) };
        let sources = sources(batch);
        let states = teacher.forward(&sources, None)?.detach();
        Ok(Some(teacher.sentence_vectors(&states, &sources)?.detach()))
    }

    /// Saves the checkpoint and the plot.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(&self) -> Result<()> {
        let weights = self.network.weights();
        let state = self.optimizer.tensors(weights)?;
        self.checkpoint.save(self.step, &self.settings, &state, |path| weights.save(path, Precision::F32))?;
        self.report.plot()
    }

    /// Questions generated by the network as it stands, for each question of the settings.
    ///
    /// # Errors
    /// The device fails.
    pub fn samples(&self) -> Result<Vec<(String, Vec<String>)>> {
        let settings = &self.settings.samples;
        samples::generate(&self.network, &self.tokenizer, &settings.questions, settings.count, self.settings.seed)
    }

    /// Spearman × 100 of the cosines against the labels of a dev file.
    fn score(&self, dev: &DevSettings) -> Result<f64> {
        let text = std::fs::read_to_string(&dev.path).map_err(|e| Error::io("read the dev file", &dev.path, e))?;
        let (mut sentences, mut labels) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(text.lines()).take(dev.limit) {
            let bad = |reason: &str| Error::BadLine { path: dev.path.clone(), line: number, reason: reason.to_owned() };
            let columns: Vec<&str> = line.split('\t').collect();
            let &[a, b, label, ..] = &columns[..] else {
                return Err(bad("expected sentence, sentence, label with tabs between them"));
            };
            sentences.extend([a, b]);
            labels.push(label.trim().parse::<f64>().map_err(|_| bad("the label is not a number"))?);
        }
        let vectors = vectors(&self.network, &self.tokenizer, &sentences)?;
        let cosine = |pair: &[Vec<f32>]| pair[0].iter().zip(&pair[1]).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        let cosines: Vec<f64> = vectors.chunks(2).map(cosine).collect();
        Ok(100.0 * metrics::spearman(&cosines, &labels).unwrap_or(0.0))
    }

    /// Writes the finished model directory.
    fn finish(&self) -> Result<PathBuf> {
        let to = ModelDirectory::create(self.settings.output.join("model"));
        let base = ModelDirectory::create(&self.settings.model.base);
        std::fs::create_dir_all(to.root()).map_err(|e| Error::io("make the model's folder", to.root(), e))?;
        let config: &Config = self.network.config();
        let json = serde_json::to_vec_pretty(config).map_err(|e| Error::Internal(e.to_string()))?;
        std::fs::write(to.config_path(), json)
            .map_err(|e| Error::io("write the configuration", to.config_path(), e))?;
        // Not `fs::copy`: it would make a read-only base's copy read-only too, and the next run could not replace it.
        std::fs::read(base.tokenizer_path())
            .and_then(|tokenizer| std::fs::write(to.tokenizer_path(), tokenizer))
            .map_err(|e| Error::io("copy the base's tokenizer to", to.tokenizer_path(), e))?;
        self.network.weights().save(&to.weights_path(), self.settings.model.precision)?;
        Ok(to.root().to_owned())
    }
}

/// Sentences that are encoded at a time outside of training steps.
const ENCODE_BATCH: usize = 64;

/// Sentence vectors of `sentences`, `[sentences][hidden]`.
fn vectors(network: &Bert, tokenizer: &Tokenizer, sentences: &[&str]) -> Result<Vec<Vec<f32>>> {
    let mut vectors = Vec::with_capacity(sentences.len());
    for sentences in sentences.chunks(ENCODE_BATCH) {
        let mut batch = Batch::new();
        for sentence in sentences {
            let ids = tokenizer.sentence(sentence, network.config().max_tokens)?;
            batch.push(&ids, &vec![0; ids.len()]);
        }
        let states = network.forward(&batch, None)?.detach();
        vectors.extend(network.sentence_vectors(&states, &batch)?.detach().to_vec2::<f32>()?);
    }
    Ok(vectors)
}

/// The source halves of a batch of pairs.
fn sources(batch: &Batch) -> Batch {
    let mut sources = Batch::new();
    for row in 0..batch.len() {
        let length = batch.source_length(row);
        sources.push(&batch.ids_of(row)[..length], &batch.segments_of(row)[..length]);
    }
    sources
}

/// Loads the teacher, which must share the student's tokenizer.
fn teacher_of(settings: &TeacherSettings, tokenizer: &Tokenizer, device: &Device) -> Result<Bert> {
    let directory = ModelDirectory::open(&settings.model)?;
    let config = directory.config()?;
    let config = Config { pooling: settings.pooling.unwrap_or(config.pooling), ..config };
    let path = directory.tokenizer_path();
    let other = Tokenizer::from_file(&path)?;
    let probe = "同一个 tokenizer? ABC 123";
    if other.vocabulary() != tokenizer.vocabulary() || other.pieces(probe)? != tokenizer.pieces(probe)? {
        return Err(Error::invalid(
            format!("the teacher's {}", path.display()),
            format!("the base's tokenizer, of {} pieces", tokenizer.vocabulary()),
            format!("another, of {} pieces", other.vocabulary()),
        ));
    }
    Ok(Bert::new(config.clone(), Weights::load(&directory.weights_path(), &config, device)?.0, device.clone()))
}
