//! The loop: batch, gradients, step; checkpoints, scores and reports on the way.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;

use super::average::Average;
use super::batches::Batches;
use super::dev::Dev;
use super::groups::Corpus;
use super::losses::Alike;
use super::report::{Report, StepReport};
use super::step::{Losses, Step};
use super::teacher::Teacher;
use super::{AdamW, Checkpoint, Settings, learning_rate, losses, samples};
use crate::model::{Bert, Config, Dropout, ModelDirectory, Precision, Weights};
use crate::text::Tokenizer;
use crate::{Error, Result, allocator};

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
    /// Vectors that the teacher's cache lacks are being made.
    Teacher {
        done: usize,
        texts: usize,
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
    teacher: Option<Teacher>,
    tokenizer: Tokenizer,
    batches: Batches,
    optimizer: AdamW,
    average: Option<Average>,
    dev: Vec<Dev>,
    report: Report,
    checkpoint: Checkpoint,
    dropout: f64,
    step: u64,
    /// Parameters that the base lacked.
    started: Vec<String>,
}

impl Trainer {
    /// Reads everything the run needs.
    ///
    /// # Errors
    /// A file is missing or bad, or the checkpoint and `start` do not fit.
    pub fn open(settings: Settings, start: Start, device: &Device) -> Result<Self> {
        let base = ModelDirectory::open(&settings.model.base)?;
        let mut config = base.config()?;
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
        let resume = resumes(start, &checkpoint)?;
        config.pooling = settings.model.pooling.unwrap_or(config.pooling);
        config.prefix.clear(); // a model is served as it was trained, and no sentence is trained with a prefix
        let layers = layers(&settings, &mut config)?;
        let frozen = settings.model.frozen_layers;
        if frozen > config.num_hidden_layers {
            let expected = format!("at most the {} layers of the network", config.num_hidden_layers);
            return Err(Error::invalid("training setting `model.frozen_layers`", expected, frozen));
        }
        let (weights, started) = if resume {
            (Weights::load(&checkpoint.weights_path(), &config, device)?.0, Vec::new())
        } else if settings.model.from_scratch {
            (Weights::random(&config, settings.seed, device)?, Vec::new())
        } else {
            Weights::load_layers(&base.weights_path(), &config, &layers, device)?
        };
        let mut optimizer = AdamW::new(&weights, &settings.optimizer)?;
        let mut step = 0;
        if resume {
            let (steps, state) = checkpoint.load(&settings)?;
            optimizer.restore(&state, steps)?;
            step = steps;
        }
        let average = match settings.optimizer.average {
            Some(keep) if resume => {
                Some(Average::new(Weights::load(&checkpoint.average_path(), &config, device)?.0, keep))
            }
            Some(keep) => Some(Average::new(weights.copy()?, keep)),
            None => None,
        };
        let corpus = Corpus::read(&settings.data)?;
        let batches = Batches::new(corpus, &settings.data, &settings.optimizer, settings.seed)?;
        let dev = settings.dev.iter().map(Dev::read).collect::<Result<_>>()?;
        if !resume {
            checkpoint.forget()?;
        }
        let report = Report::open(output, step)?;
        Ok(Self {
            dropout: settings.model.dropout.unwrap_or(config.hidden_dropout_prob),
            batches,
            dev,
            report,
            network: Bert::new(config, weights, device.clone())
                .with_compute(settings.model.compute)
                .with_frozen(frozen),
            teacher: None,
            tokenizer,
            optimizer,
            average,
            checkpoint,
            step,
            started,
            settings,
        })
    }

    /// The network as it stands.
    pub fn network(&self) -> &Bert {
        &self.network
    }

    /// What is scored and finished with: the network with the running mean of its weights, where there is one.
    fn judged(&self) -> Bert {
        match &self.average {
            Some(average) => self.network.with_weights(average.weights().clone()),
            None => self.network.clone(),
        }
    }

    /// Takes all the steps that are left, or those up to `last`, and writes the model to `model/` in the run's folder.
    /// `tell` hears of every step; it returns whether to go on. A run that is told to stop leaves a checkpoint only.
    ///
    /// # Errors
    /// A step fails or a file cannot be written.
    pub fn run(mut self, last: Option<u64>, mut tell: impl FnMut(Event<'_>) -> bool) -> Result<Outcome> {
        let started = std::mem::take(&mut self.started);
        allocator::keep_freed();
        let ((groups, excluded), parameters) = (self.batches.sizes(), self.network.weights().count());
        tell(Event::Begin { groups, excluded, parameters, started: &started, step: self.step });
        let last = last.map_or(self.settings.optimizer.steps, |last| last.min(self.settings.optimizer.steps));
        if !self.ask_teacher(last, &mut tell)? {
            return Ok(Outcome { model: None, steps: self.step, tokens_per_second: 0.0 });
        }
        let (began, mut tokens) = (Instant::now(), 0);
        while self.step < last {
            let report = self.step()?;
            tokens += report.tokens;
            let go_on = tell(Event::Step(&report));
            let scored = report.dev.len() == self.dev.len() && !self.dev.is_empty();
            self.report.step(report)?;
            let better = scored && self.report.scorings_since_best() == 0;
            if better && self.settings.checkpoint.best {
                self.judged().weights().save(&self.checkpoint.best_path(), Precision::F32)?;
            }
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
                let tokens_per_second = tokens as f64 / began.elapsed().as_secs_f64();
                return Ok(Outcome { model: None, steps: self.step, tokens_per_second });
            }
            if scored && self.settings.checkpoint.patience.is_some_and(|most| self.report.scorings_since_best() >= most)
            {
                self.save()?;
                break;
            }
        }
        let model = Some(self.finish()?);
        let tokens_per_second = tokens as f64 / began.elapsed().as_secs_f64();
        Ok(Outcome { model, steps: self.step, tokens_per_second })
    }

    /// Takes one step.
    ///
    /// # Errors
    /// The gradient is not finite, or the device fails.
    pub fn step(&mut self) -> Result<StepReport> {
        let began = Instant::now();
        let random = self.batches.random(self.step, 2);
        let draw = self.batches.draw(self.step);
        let batch = Batches::pack(&draw, &self.tokenizer, &self.settings.data, random)?;
        let compared = &draw.rows[..draw.compared];
        let mut alike = Alike::of_meanings(&compared.iter().map(|row| row.meaning).collect::<Vec<_>>());
        let mut taught = None;
        if let (Some(teacher), Some(settings)) = (&self.teacher, &self.settings.teacher) {
            let vectors = teacher.vectors(compared.iter().map(|row| row.text), self.network.device())?;
            if let Some(above) = settings.same_above {
                alike = alike.or_near(&vectors, above, &draw.negatives)?;
            }
            taught = Some((vectors, settings.weight));
        }
        let losses = Losses {
            weights: &self.settings.loss,
            compared: draw.compared,
            positives: &draw.positives,
            negatives: &draw.negatives,
            alike: &alike,
            taught,
        };
        let seed = self.settings.seed.rotate_left(32) ^ self.step;
        let dropout = Some(Dropout { rate: self.dropout, seed });
        let Step { gradients, generation, similarity, ranking, relation, vectors } =
            super::step::gradients(&self.network, &batch, &losses, dropout, self.settings.optimizer.micro_batch)?;
        let in_batch_accuracy = losses::in_batch_accuracy(&vectors, &draw.positives, &alike)?;
        let learning_rate = learning_rate(self.step, &self.settings.optimizer);
        let gradient_norm = self.optimizer.step(self.network.weights(), &gradients, learning_rate)?;
        self.step += 1;
        if let Some(average) = &mut self.average {
            average.update(self.network.weights(), self.step)?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let last = self.step == self.settings.optimizer.steps;
        let due = self.dev.iter().filter(|dev| last || self.step.is_multiple_of(dev.every()));
        let network = self.judged();
        let score = |dev: &Dev| Ok((dev.name().to_owned(), dev.score(&network, &self.tokenizer)?));
        Ok(StepReport {
            step: self.step,
            generation_loss: generation,
            similarity_loss: similarity,
            ranking_loss: ranking,
            relation_loss: relation,
            in_batch_accuracy,
            gradient_norm,
            learning_rate,
            tokens: batch.tokens(),
            seconds,
            dev: due.map(score).collect::<Result<_>>()?,
        })
    }

    /// Has the teacher's vectors made of every sentence that the steps up to `last` compare; returns whether to go on.
    fn ask_teacher(&mut self, last: u64, tell: &mut impl FnMut(Event<'_>) -> bool) -> Result<bool> {
        let Some(settings) = &self.settings.teacher else { return Ok(true) };
        let mut texts = HashSet::new();
        for step in self.step..last {
            let draw = self.batches.draw(step);
            texts.extend(draw.rows[..draw.compared].iter().map(|row| row.text.to_owned()));
        }
        let mut texts: Vec<String> = texts.into_iter().collect();
        texts.sort_unstable_by_key(|text| (text.len(), text.clone()));
        let tell = &mut |done, texts| tell(Event::Teacher { done, texts });
        let place = (self.network.device(), self.settings.model.compute);
        self.teacher = Teacher::open(settings, &self.settings.output, &texts, place, tell)?;
        Ok(self.teacher.is_some())
    }

    /// Saves the checkpoint and the plot.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(&self) -> Result<()> {
        let weights = self.network.weights();
        let state = self.optimizer.tensors(weights)?;
        self.checkpoint.save(self.step, &self.settings, &state, |fresh| {
            if let Some(average) = &self.average {
                average.weights().save(&fresh.average_path(), Precision::F32)?;
            }
            weights.save(&fresh.weights_path(), Precision::F32)
        })?;
        self.report.plot()
    }

    /// Questions generated by the network as it stands, for each question of the settings.
    ///
    /// # Errors
    /// The device fails.
    pub fn samples(&self) -> Result<Vec<(String, Vec<String>)>> {
        let settings = &self.settings.samples;
        samples::generate(&self.judged(), &self.tokenizer, &settings.questions, settings.count, self.settings.seed)
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
        let best = self.checkpoint.best_path();
        let weights = if self.settings.checkpoint.best && best.is_file() {
            Weights::load(&best, config, &Device::Cpu)?.0
        } else {
            self.judged().weights().clone()
        };
        weights.save(&to.weights_path(), self.settings.model.precision)?;
        Ok(to.root().to_owned())
    }
}

/// Whether a run goes on from its checkpoint.
fn resumes(start: Start, checkpoint: &Checkpoint) -> Result<bool> {
    let name = || checkpoint.folder().display().to_string();
    match (start, checkpoint.exists()) {
        (Start::Fresh, true) => Err(Error::AlreadyExists {
            kind: "checkpoint",
            name: name(),
            hint: "go on from it with `--resume`, or forget it with `--restart`".to_owned(),
        }),
        (Start::Resume, false) => Err(Error::NotFound {
            kind: "checkpoint",
            name: name(),
            hint: "start the run without `--resume`".to_owned(),
        }),
        (start, _) => Ok(start == Start::Resume),
    }
}

/// The base's layers that the network takes; sets their number in its configuration.
fn layers(settings: &Settings, config: &mut Config) -> Result<Vec<usize>> {
    let Some(layers) = &settings.model.layers else { return Ok((0..config.num_hidden_layers).collect()) };
    if layers.is_empty() || layers.iter().any(|&layer| layer >= config.num_hidden_layers) {
        return Err(Error::invalid(
            "training setting `model.layers`",
            format!("some of the base's layers 0 to {}", config.num_hidden_layers - 1),
            format!("{layers:?}"),
        ));
    }
    config.num_hidden_layers = layers.len();
    Ok(layers.clone())
}
