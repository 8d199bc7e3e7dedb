//! An open bank.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::catalogue::Catalogue;
use super::files::examine;
use super::handle::{Opening, gone};
use super::keeper::{self, StoreKeeper};
use super::linker::Linker;
use super::write::FreeIds;
use super::{Bank, BankName, Keep, Question, QuestionId, QuestionWriter, SearchRequest, SentenceEncoder};
use crate::index::{HnswSettings, Pace, Progress, Quantisation, Segments, VectorIndex, check_unit};
use crate::model::Calibration;
use crate::store::{BankFacts, Banks, FORMAT, Store, Verification};
use crate::{Error, Result};

/// Vectors that go into the index at once while a bank is opened.
const LOADED_AT_ONCE: usize = 1024;

/// An open bank.
///
/// Locks are taken in the order of the fields. A search holds `catalogue` for reading while it looks and reads its
/// hits, so it sees each commit whole; a commit holds it for writing while it changes memory and sled, but neither
/// while it encodes nor while it waits for the disk.
pub(super) struct Shared {
    pub(super) name: BankName,
    pub(super) settings: BankSettings,
    pub(super) banks: Banks,
    pub(super) model: Model,
    /// Set once the bank is deleted; its files may be gone.
    pub(super) deleted: AtomicBool,
    /// Dropped, and so stopped, before the index and the store.
    pub(super) linker: Option<Linker>,
    /// Held by the one thread that commits.
    pub(super) writing: Mutex<FreeIds>,
    pub(super) catalogue: RwLock<Catalogue>,
    pub(super) index: Arc<Segments>,
    /// Graphs that were found damaged when the bank was opened, and are made again.
    damaged_graphs: u64,
    pub(super) store: Arc<Store>,
}

/// The model that a bank encodes with.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) encoder: Arc<dyn SentenceEncoder>,
    /// The decoder half, or why there is none.
    pub(super) writer: Result<Arc<dyn QuestionWriter>, Arc<str>>,
    /// What its cosines mean, where that was fitted.
    pub(super) calibration: Option<Arc<Calibration>>,
}

impl Model {
    pub(super) fn writer(&self) -> Result<&dyn QuestionWriter> {
        match &self.writer {
            Ok(writer) => Ok(&**writer),
            Err(reason) => Err(Error::NoDecoder { hint: reason.to_string() }),
        }
    }
}

impl Model {
    /// How likely a hit of this cosine is right, where that is known.
    pub(super) fn probability(&self, cosine: f32) -> Option<f64> {
        self.calibration.as_ref().map(|calibration| calibration.probability(f64::from(cosine.clamp(-1.0, 1.0))))
    }

    /// Refuses a least probability where there are none.
    pub(super) fn check(&self, request: &SearchRequest) -> Result<()> {
        match (request.min_probability, &self.calibration) {
            (Some(least), None) => {
                let expected =
                    "a model with a calibration; fit one by `simbert eval calibrate`, or ask for a `min_score`";
                Err(Error::invalid("min_probability", expected, format!("{least}, and a model without one")))
            }
            _ => Ok(()),
        }
    }
}

/// What is chosen when a bank is made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BankSettings {
    pub description: String,
    /// How the graphs of its index see the vectors. What they find is scored by the exact ones all the same.
    pub quantisation: Quantisation,
}

impl BankSettings {
    pub(super) fn of(facts: &BankFacts) -> Result<Self> {
        let quantisation = match &*facts.quantisation {
            "" => Quantisation::default(),
            name => name.parse()?,
        };
        Ok(Self { description: facts.description.clone(), quantisation })
    }
}

/// What a bank is and holds.
#[derive(Debug, Clone, PartialEq)]
pub struct BankStatus {
    pub name: BankName,
    pub settings: BankSettings,
    pub questions: u64,
    pub faqs: u64,
    pub dimension: usize,
    pub model_fingerprint: String,
    pub bytes_on_disk: u64,
    /// Questions in the graph of an open bank; the others are compared one by one.
    pub questions_in_graph: u64,
    /// Vectors of an open bank that wait for a graph.
    pub waiting: u64,
    /// Graphs of an open bank; each has a file of its own.
    pub segments: u64,
    /// Bytes that searches of an open bank need in memory: graphs, codes and ids, and vectors that wait for a graph.
    pub index_bytes: u64,
    /// Graphs that were damaged when the bank was opened. They are made again of the vectors.
    pub damaged_graphs: u64,
}

impl Shared {
    /// Opens a bank: reads every question and every graph, checking every checksum. Vectors that lie in segments are
    /// checked when they are first used. `progress` is told of questions read.
    pub(super) fn open(opening: &Opening, progress: &Progress<'_>) -> Result<Self> {
        let Opening { banks, name, model, graph } = opening;
        let (store, facts) = Store::open(banks, name.as_str(), model.encoder.fingerprint())?;
        let store = Arc::new(store);
        let dimension = facts.dimension;
        if dimension != model.encoder.dimension() {
            let received = format!("{dimension} in the bank's description");
            let expected = format!("{}, the model's width", model.encoder.dimension());
            return Err(Error::invalid(format!("width of bank `{name}`"), expected, received));
        }
        let settings = BankSettings::of(&facts)?;
        let quantisation = settings.quantisation;
        let index = Segments::new(dimension, HnswSettings { quantisation, ..graph.unwrap_or_default() })?;
        let index = Arc::new(index.kept_by(Arc::new(StoreKeeper(Arc::clone(&store)))));
        let files = store.segments();
        // The graphs are read while the questions are.
        let (catalogue, graphs) = std::thread::scope(|scope| {
            let graphs = scope.spawn(|| files.iter().map(|file| keeper::read(file, dimension)).collect::<Vec<_>>());
            let catalogue = load(&store, &index, progress);
            let graphs = graphs.join().map_err(|_| Error::Internal("reading the graphs panicked".to_owned()));
            Ok::<_, Error>((catalogue?, graphs?))
        })?;
        let mut damaged_graphs = 0;
        for (file, graph) in files.iter().zip(graphs) {
            damaged_graphs += u64::from(keeper::adopt(&index, file, graph, catalogue.live())?);
        }
        let maintained: Arc<dyn VectorIndex> = Arc::clone(&index) as _;
        let linker = graph.map(|_| Linker::start(name.as_str(), maintained)).transpose()?;
        if let Some(linker) = &linker {
            linker.call();
        }
        Ok(Self {
            name: name.clone(),
            settings,
            banks: banks.clone(),
            model: model.clone(),
            deleted: AtomicBool::new(false),
            linker,
            // An id that a segment has, of a question that is gone, would bring its vector back.
            writing: Mutex::new(FreeIds::beside(&(catalogue.live() | store.ids_in_segments()))),
            catalogue: RwLock::new(catalogue),
            index,
            damaged_graphs,
            store,
        })
    }
}

impl Bank {
    /// Reads questions by their ids, in their order; `None` for those that are not there.
    ///
    /// # Errors
    /// A question is damaged, or the bank was deleted.
    pub fn get(&self, ids: &[QuestionId]) -> Result<Vec<Option<Question>>> {
        self.get_keeping(ids, &Ok)
    }

    /// The same, of whose questions `keep` says what becomes of them.
    ///
    /// # Errors
    /// As [`Bank::get`]; or `keep`'s.
    pub fn get_keeping(&self, ids: &[QuestionId], keep: Keep<'_>) -> Result<Vec<Option<Question>>> {
        let shared = self.live()?;
        let catalogue = shared.catalogue.read();
        let read = |internal| keep(shared.question(internal)?);
        ids.iter().map(|id| catalogue.internal(id).map(read).transpose()).collect()
    }

    /// Up to `limit` questions in the order of their ids, after `after`.
    ///
    /// # Errors
    /// A question is damaged, or the bank was deleted.
    pub fn list(&self, after: Option<&QuestionId>, limit: usize) -> Result<Vec<Question>> {
        let mut listed = Vec::new();
        self.list_each(after, limit, |question| {
            listed.push(question);
            true
        })?;
        Ok(listed)
    }

    /// The same, one after the other until `each` has enough.
    ///
    /// # Errors
    /// As [`Bank::list`].
    pub fn list_each(
        &self,
        after: Option<&QuestionId>,
        limit: usize,
        mut each: impl FnMut(Question) -> bool,
    ) -> Result<()> {
        let shared = self.live()?;
        let catalogue = shared.catalogue.read();
        for internal in catalogue.list(after, limit) {
            if !each(shared.question(internal)?) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the bank is and holds.
    ///
    /// # Errors
    /// Its files cannot be measured, or the bank was deleted.
    pub fn status(&self) -> Result<BankStatus> {
        let shared = self.live()?;
        let (questions, faqs) = {
            let catalogue = shared.catalogue.read();
            (catalogue.len(), catalogue.faqs())
        };
        Ok(BankStatus {
            name: shared.name.clone(),
            settings: shared.settings.clone(),
            questions,
            faqs,
            dimension: shared.index.dimension(),
            model_fingerprint: shared.model.encoder.fingerprint().to_owned(),
            bytes_on_disk: shared.banks.bytes_on_disk(shared.name.as_str())?,
            questions_in_graph: shared.index.maintained() as u64,
            waiting: shared.index.waiting() as u64,
            segments: shared.index.graphs() as u64,
            index_bytes: shared.index.bytes() as u64,
            damaged_graphs: shared.damaged_graphs,
        })
    }

    /// Reads every question and every vector from the disk again, checks their checksums, and compares their number
    /// with what was acknowledged. Returns how many there are. Writes wait meanwhile.
    ///
    /// # Errors
    /// Something is damaged or missing; the error names the first of it, [`Bank::examine`] all.
    pub fn verify(&self, progress: &Progress<'_>) -> Result<u64> {
        let found = self.examine(progress)?;
        self.live()?.store.whole(&found)
    }

    /// As [`Bank::verify`], and tells of each damaged question.
    ///
    /// # Errors
    /// The bank was deleted.
    pub fn examine(&self, progress: &Progress<'_>) -> Result<Verification> {
        let shared = self.live()?;
        let _no_commits = shared.writing.lock();
        let mut found = examine(&shared.store, shared.index.dimension(), progress)?;
        let catalogue = shared.catalogue.read();
        for damage in &mut found.damaged {
            // Memory knows which question it was.
            damage.question = damage.question.take().or_else(|| catalogue.id_of(damage.internal).map(Into::into));
        }
        Ok(found)
    }

    /// Links all vectors that wait for it into the graph, now and on this thread. There is no need to: searches are
    /// right without it.
    ///
    /// # Errors
    /// The bank was deleted.
    pub fn link_now(&self, progress: &Progress<'_>) -> Result<()> {
        self.live()?.index.maintain(Pace::Quiet, &AtomicBool::new(false), progress);
        Ok(())
    }
}

/// Reads the questions, and puts the vectors that are in no segment into the index.
fn load(store: &Store, index: &Segments, progress: &Progress<'_>) -> Result<Catalogue> {
    let (mut catalogue, mut ids) = (Catalogue::default(), Vec::new());
    let total = store.counts().questions;
    let mut waiting: Vec<(u32, Vec<f32>)> = Vec::with_capacity(LOADED_AT_ONCE);
    let flush = |waiting: &mut Vec<(u32, Vec<f32>)>| {
        let items: Vec<_> = waiting.iter().map(|(id, vector)| (*id, vector.as_slice())).collect();
        let inserted = index.insert(&items);
        waiting.clear();
        inserted
    };
    let mut record = |internal, outline| {
        let (id, faq_id, metadata) = Question::outlined(outline)?;
        catalogue.insert_values(internal, faq_id.as_deref(), &metadata);
        ids.push((id, internal));
        if catalogue.len() % LOADED_AT_ONCE as u64 == 0 {
            progress(catalogue.len(), total);
        }
        Ok(())
    };
    let mut vector = |internal, vector: Vec<f32>| {
        check_unit(&vector, index.dimension()).map_err(|e| Error::corrupt("a question's vector", e.to_string()))?;
        waiting.push((internal, vector));
        if waiting.len() == LOADED_AT_ONCE { flush(&mut waiting) } else { Ok(()) }
    };
    store.load(&mut record, &mut vector)?;
    flush(&mut waiting)?;
    let twice = |id| Error::corrupt("a bank", format!("question `{id}` is there twice"));
    catalogue.name_all(ids).map_err(twice)?;
    progress(total, total);
    Ok(catalogue)
}

impl Shared {
    /// Refuses a bank that was deleted while it was open.
    pub(super) fn check_not_deleted(&self) -> Result<()> {
        if self.deleted.load(Ordering::Acquire) { Err(gone(&self.name)) } else { Ok(()) }
    }

    /// What never changes of the bank.
    pub(super) fn facts(&self) -> BankFacts {
        BankFacts {
            format: FORMAT,
            model_fingerprint: self.model.encoder.fingerprint().to_owned(),
            dimension: self.index.dimension(),
            description: self.settings.description.clone(),
            quantisation: self.settings.quantisation.name().to_owned(),
        }
    }

    /// The question under an internal id of the catalogue, which the caller has locked.
    pub(super) fn question(&self, internal: u32) -> Result<Question> {
        let record = self.store.record(internal)?.ok_or_else(|| {
            Error::corrupt(self.banks.path(self.name.as_str()), format!("record {internal} is missing"))
        })?;
        Question::from_record(record)
    }
}
