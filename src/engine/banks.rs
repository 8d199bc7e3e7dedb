//! The engine: a model and a folder of banks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::bank::Model;
use super::handle::Opening;
use super::{
    Bank, BankName, BankSettings, BankStatus, OpenBank, QuestionWriter, SentenceEncoder, ThenVectors, Timings, Vectors,
};
use crate::generate::{GenerateRequest, Paraphrase, Paraphraser};
use crate::index::{HnswSettings, Progress};
use crate::model::{Arithmetic, Calibration, ModelDirectory};
use crate::runtime::{CacheUse, EncodeTimings, Encoded, Encoder, RuntimeOptions, Waiter};
use crate::store::{BankFacts, Banks, FORMAT};
use crate::{Error, Result};

/// Where an engine finds its data and its model.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Folder of all banks; made if missing.
    pub data: PathBuf,
    /// Model directory with exported graphs.
    pub model: PathBuf,
    /// Which of its graphs to run.
    pub arithmetic: Arithmetic,
    /// The ONNX Runtime library; searched for when absent.
    pub onnxruntime: Option<PathBuf>,
    /// Threads for inference; 0 for one for each core.
    pub threads: usize,
    /// Bytes for vectors of texts that were encoded lately; 0 for none.
    pub cache_bytes: usize,
}

/// A model and the banks encoded by it. Cheap to clone; all methods block, so call them off the async runtime.
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

/// A place for a bank, locked while it is opened or deleted, so that others can be used meanwhile.
type Slot = Arc<Mutex<Option<Bank>>>;

pub(super) struct Shared {
    pub(super) banks: Banks,
    model: Model,
    graph: Option<HnswSettings>,
    slots: Mutex<HashMap<BankName, Slot>>,
}

impl Engine {
    /// Opens the model and the folder of banks; each bank is opened when first used. A model without a decoder serves
    /// all but paraphrases, one without a calibration all but probabilities.
    ///
    /// # Errors
    /// The model or ONNX Runtime cannot be opened, its calibration or its probe for kinds of sentences is damaged or
    /// another model's, or the folder cannot be made.
    pub fn open(options: EngineOptions) -> Result<Self> {
        let directory = ModelDirectory::open(&options.model)?.with_arithmetic(options.arithmetic);
        let EngineOptions { onnxruntime, threads, cache_bytes, .. } = options;
        let runtime = RuntimeOptions { onnxruntime, threads, cache_bytes, ..RuntimeOptions::default() };
        let encoder = Arc::new(Encoder::open(&directory, &runtime)?);
        let calibration = directory.calibration(encoder.fingerprint())?;
        let mut engine = Self::with_encoder(&options.data, Arc::clone(&encoder) as Arc<dyn SentenceEncoder>)?;
        if let Some(calibration) = calibration {
            engine = engine.with_calibration(calibration)?;
        }
        let decoder = directory.decoder_path();
        if !decoder.exists() {
            let reason = format!("the model has no {}; run `{}`", decoder.display(), directory.export_command());
            return Ok(engine.rebuilt(|shared| shared.model.writer = Err(reason.into())));
        }
        Ok(engine.with_writer(Arc::new(Paraphraser::open_beside(encoder, &directory, &runtime)?)))
    }

    /// An engine with an encoder of the caller's, and no paraphrases.
    ///
    /// # Errors
    /// The folder of banks cannot be made or read.
    pub fn with_encoder(data: &Path, encoder: Arc<dyn SentenceEncoder>) -> Result<Self> {
        let banks = Banks::open(data)?;
        let writer = Err("this engine was opened without a decoder".into());
        let model = Model { encoder, writer, calibration: None };
        let shared = Shared { banks, model, graph: Some(HnswSettings::default()), slots: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// An engine for work that encodes nothing (reading, deleting, verifying, making banks), on behalf of the model of
    /// this fingerprint and width. Encoding is refused.
    ///
    /// # Errors
    /// The folder of banks cannot be made or read.
    pub fn without_model(data: &Path, fingerprint: &str, dimension: usize) -> Result<Self> {
        let absent = NoModel { fingerprint: fingerprint.to_owned(), dimension };
        Ok(Self::with_encoder(data, Arc::new(absent))?.without_graphs())
    }

    /// The same engine with a writer of similar questions. Its banks are opened anew.
    #[must_use]
    pub fn with_writer(&self, writer: Arc<dyn QuestionWriter>) -> Self {
        self.rebuilt(|shared| shared.model.writer = Ok(writer))
    }

    /// The same engine, whose hits say how likely they are right. Its banks are opened anew.
    ///
    /// # Errors
    /// The calibration is another model's.
    pub fn with_calibration(&self, calibration: Calibration) -> Result<Self> {
        calibration.check_model(self.fingerprint())?;
        Ok(self.rebuilt(|shared| shared.model.calibration = Some(Arc::new(calibration))))
    }

    /// The same engine, which never links a graph in the background and compares with every vector instead: for
    /// commands that run once and end. Its banks are opened anew.
    #[must_use]
    pub fn without_graphs(&self) -> Self {
        self.rebuilt(|shared| shared.graph = None)
    }

    /// The same engine, whose banks have graphs of this shape; how these see the vectors is each bank's own. Its banks
    /// are opened anew.
    #[must_use]
    pub fn with_graphs(&self, settings: HnswSettings) -> Self {
        self.rebuilt(|shared| shared.graph = Some(settings))
    }

    fn rebuilt(&self, change: impl FnOnce(&mut Shared)) -> Self {
        let Shared { banks, model, graph, .. } = &*self.shared;
        let mut shared = Shared { banks: banks.clone(), model: model.clone(), graph: *graph, slots: Mutex::default() };
        change(&mut shared);
        Self { shared: Arc::new(shared) }
    }

    /// Makes an empty bank and opens it.
    ///
    /// # Errors
    /// There is a bank of this name, or the disk fails.
    pub fn create_bank(&self, name: &BankName, settings: BankSettings) -> Result<Bank> {
        let facts = BankFacts {
            format: FORMAT,
            model_fingerprint: self.fingerprint().to_owned(),
            dimension: self.dimension(),
            description: settings.description,
            quantisation: settings.quantisation.name().to_owned(),
        };
        self.shared.banks.create(name.as_str(), &facts)?;
        self.bank(name)
    }

    /// The bank of this name; opened, and read from the disk, when it is not open yet.
    ///
    /// # Errors
    /// There is no such bank, another process has it open, another model encoded it, or it is damaged.
    pub fn bank(&self, name: &BankName) -> Result<Bank> {
        self.bank_with_progress(name, &|_, _| ())
    }

    /// As [`Engine::bank`]; `progress` is told of the questions read.
    ///
    /// # Errors
    /// See [`Engine::bank`].
    pub fn bank_with_progress(&self, name: &BankName, progress: &Progress<'_>) -> Result<Bank> {
        self.opened(name, progress).inspect_err(|_| self.forget(name))
    }

    fn opened(&self, name: &BankName, progress: &Progress<'_>) -> Result<Bank> {
        let slot = self.slot(name);
        let mut slot = slot.lock();
        if let Some(bank) = &*slot {
            return Ok(bank.clone());
        }
        let Shared { banks, model, graph, .. } = &*self.shared;
        let started = Instant::now();
        let opening = Opening { banks: banks.clone(), name: name.clone(), model: model.clone(), graph: *graph };
        let bank = Bank::open(opening, progress)?;
        tracing::info!(bank = %bank.name(), milliseconds = started.elapsed().as_millis() as u64, "opened a bank");
        *slot = Some(bank.clone());
        Ok(bank)
    }

    /// The bank of this name if it can be had at once, without waiting for the disk or for another call.
    pub fn open_bank(&self, name: &BankName) -> Option<OpenBank> {
        self.unlocked(name)?.at_hand()
    }

    /// The bank in a slot that nobody has locked.
    fn unlocked(&self, name: &BankName) -> Option<Bank> {
        let slot = self.shared.slots.lock().get(name).cloned()?;
        let bank = slot.try_lock()?;
        bank.clone()
    }

    /// Gives up a slot that nobody uses and that holds no bank, so that names that are asked for in vain are not kept.
    fn forget(&self, name: &BankName) {
        let mut slots = self.shared.slots.lock();
        // Whoever else has it got it under the lock of all, and is counted.
        let unused = |slot: &mut Slot| Arc::get_mut(slot).is_some_and(|bank| bank.get_mut().is_none());
        if slots.get_mut(name).is_some_and(unused) {
            slots.remove(name);
        }
    }

    fn slot(&self, name: &BankName) -> Slot {
        Arc::clone(self.shared.slots.lock().entry(name.clone()).or_default())
    }

    /// Closes the bank and removes it from disk. Handles that are still about answer that it is gone.
    ///
    /// # Errors
    /// There is no such bank, another process has it open, or the disk fails.
    pub fn delete_bank(&self, name: &BankName) -> Result<()> {
        let deleted = {
            let slot = self.slot(name);
            let mut slot = slot.lock();
            match &*slot {
                None => self.shared.banks.delete(name.as_str(), false),
                Some(bank) => bank.remove().map(|()| *slot = None),
            }
        };
        self.forget(name);
        deleted
    }

    /// The names of all banks. A folder whose name none may have, such as somebody's copy, is no bank.
    ///
    /// # Errors
    /// The folder of banks cannot be read.
    pub fn names(&self) -> Result<Vec<BankName>> {
        Ok(self.shared.banks.names()?.into_iter().filter_map(|name| BankName::new(name).ok()).collect())
    }

    /// What each bank is and holds, by name. Banks that are not open are not opened, and may be open elsewhere. One that
    /// cannot be described is left out, with a word in the log: to use it says why.
    ///
    /// # Errors
    /// The folder of banks cannot be read.
    pub fn banks(&self) -> Result<Vec<BankStatus>> {
        self.banks_where(|_| true, usize::MAX)
    }

    /// As [`Engine::banks`], of the first so many banks whose names are wanted; the others are not looked at.
    ///
    /// # Errors
    /// See [`Engine::banks`].
    pub fn banks_where(&self, wanted: impl Fn(&BankName) -> bool, most: usize) -> Result<Vec<BankStatus>> {
        let mut names = self.names()?;
        names.sort_unstable();
        let described = |name: BankName| match self.status(name.clone()) {
            Ok(status) => Some(status),
            Err(_) if !self.shared.banks.exists(name.as_str()) => None, // it was deleted meanwhile
            Err(error) => {
                tracing::warn!(bank = %name, %error, "a bank cannot be described");
                None
            }
        };
        Ok(names.into_iter().filter(wanted).filter_map(described).take(most).collect())
    }

    /// What one bank is and holds, without opening it.
    pub(super) fn status(&self, name: BankName) -> Result<BankStatus> {
        if let Some(bank) = self.unlocked(&name).filter(Bank::is_open) {
            return bank.status();
        }
        let facts = self.shared.banks.facts(name.as_str())?;
        let counts = self.shared.banks.counts(name.as_str())?;
        Ok(BankStatus {
            settings: BankSettings::of(&facts)?,
            questions: counts.questions,
            faqs: counts.faqs,
            dimension: facts.dimension,
            model_fingerprint: facts.model_fingerprint,
            bytes_on_disk: self.shared.banks.bytes_on_disk(name.as_str())?,
            questions_in_graph: 0,
            waiting: 0,
            segments: 0,
            index_bytes: 0,
            damaged_graphs: 0,
            name,
        })
    }

    /// Unit vectors of `texts`, and how long they took: `[texts][dimension]`.
    ///
    /// # Errors
    /// A text cannot be tokenised, or the model fails.
    pub fn embed(&self, texts: &[String]) -> Result<Vectors> {
        self.shared.model.encoder.encode(texts)
    }

    /// As [`Engine::embed`], without a thread that waits; see [`SentenceEncoder::encode_later`].
    pub fn embed_later(&self, texts: Vec<String>, waiter: Waiter, then: ThenVectors) {
        Arc::clone(&self.shared.model.encoder).encode_later(texts, waiter, then);
    }

    /// Similar questions, best first, and how long they took.
    ///
    /// # Errors
    /// The model has no decoder, the request is out of range, or the model fails.
    pub fn generate(&self, request: &GenerateRequest) -> Result<(Vec<Paraphrase>, Timings)> {
        self.shared.model.writer()?.write(request)
    }

    /// Texts that wait to be encoded.
    pub fn queued(&self) -> usize {
        self.shared.model.encoder.queued()
    }

    /// How the cache of vectors is used.
    pub fn cache(&self) -> CacheUse {
        self.shared.model.encoder.cache()
    }

    /// Width of the model's vectors.
    pub fn dimension(&self) -> usize {
        self.shared.model.encoder.dimension()
    }

    /// Names the model, see [`ModelDirectory::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        self.shared.model.encoder.fingerprint()
    }

    /// What the model's cosines mean, where that was fitted.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.shared.model.calibration.as_deref()
    }

    /// Closes every bank: a bank is off the disk's locks once its last handle is dropped. What was acknowledged is on
    /// the disk already.
    ///
    /// # Errors
    /// The disk fails.
    pub fn close(&self) -> Result<()> {
        let slots: Vec<Slot> = self.shared.slots.lock().drain().map(|(_, slot)| slot).collect();
        for slot in slots {
            if let Some(bank) = slot.lock().take() {
                bank.make_durable()?;
            }
        }
        Ok(())
    }
}

/// Stands in for a model that is not loaded.
struct NoModel {
    fingerprint: String,
    dimension: usize,
}

impl SentenceEncoder for NoModel {
    fn encode(&self, _: &[String]) -> Result<Vectors> {
        let reason = format!("no model is loaded; load model {}", self.fingerprint);
        Err(Error::Unavailable { what: "encoding".to_owned(), reason })
    }
    fn dimension(&self) -> usize {
        self.dimension
    }
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl SentenceEncoder for Encoder {
    fn encode(&self, texts: &[String]) -> Result<Vectors> {
        Self::encode(self, texts).map(with_timings)
    }
    fn encode_later(self: Arc<Self>, texts: Vec<String>, waiter: Waiter, then: ThenVectors) {
        Self::encode_later(&self, texts, waiter, |encoded| then(encoded.map(with_timings)));
    }
    fn dimension(&self) -> usize {
        Self::dimension(self)
    }
    fn fingerprint(&self) -> &str {
        Self::fingerprint(self)
    }
    fn queued(&self) -> usize {
        Self::queued(self)
    }
    fn cache(&self) -> CacheUse {
        Self::cache(self)
    }
}

fn with_timings(encoded: Encoded) -> Vectors {
    let EncodeTimings { queue, tokenise, infer } = encoded.timings;
    (encoded.vectors, Timings { queue, tokenise, infer, ..Timings::default() })
}

impl QuestionWriter for Paraphraser {
    fn write(&self, request: &GenerateRequest) -> Result<(Vec<Paraphrase>, Timings)> {
        let _span = tracing::debug_span!("generate", samples = request.sampling.samples).entered();
        let started = Instant::now();
        let phrases = self.generate(request)?;
        Ok((phrases, Timings { generate: started.elapsed(), ..Timings::default() }))
    }
}
