//! What every service holds, and its only way to a bank: whoever wants one says who calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

use super::access::Caller;
use super::convert::ReadMask;
use super::gate::{Gate, Turn};
use super::keeping::Keeping;
use super::limits::Limits;
use super::line::Line;
use super::memory::{BLOCK, Memory};
use super::metrics::Metrics;
use super::model::Model;
use super::unread::Unread;
use super::{ServerOptions, convert, message_size, proto};
use crate::engine::{Bank, BankName, BankStatus, Engine, SearchRequest, SearchResponse, Timings, Vectors};
use crate::{Error, Result};

/// What writes into banks may have one place in so many.
const WRITES: u32 = 16;
/// What the decoder writes may have one place in so many: it is as much work as a hundred searches.
const GENERATIONS: u32 = 32;

/// The engine behind its gate. Cheap to clone.
#[derive(Clone)]
pub(super) struct Context {
    /// Not for services, which name the caller to get at banks; [`Model`] is what they may have without.
    engine: Engine,
    pub model: Model,
    pub gate: Gate,
    /// The way in for what writes into banks, which waits for the disk.
    pub writing: Gate,
    /// The way in for what the decoder writes, which takes long.
    pub generating: Gate,
    /// One permit for each open bulk stream.
    pub streams: Arc<Semaphore>,
    /// One permit for each snapshot that is on its way.
    pub transfers: Arc<Semaphore>,
    /// What copies, sends, receives and restores snapshots: beside the calls, which such long work must not hold up.
    pub copying: Gate,
    /// What is left of short searches that have their vectors.
    searching: Line,
    /// For replies until they are read.
    unread: Memory,
    pub metrics: Arc<Metrics>,
    /// One permit for who reads the metrics, which takes looking at the disk.
    measuring: Arc<Semaphore>,
    /// One permit for who asks whether the banks can be looked at.
    looking: Arc<Semaphore>,
    /// Cancelled when the banks are open that were to be opened before calls come.
    pub opened: CancellationToken,
    pub options: Arc<ServerOptions>,
    /// Cancelled when the server begins to shut down: streams end after the batch they are at.
    pub stopping: CancellationToken,
}

impl Context {
    pub fn new(engine: Engine, options: ServerOptions) -> Self {
        let gate = Gate::new(options.max_concurrent, options.max_waiting, options.max_wait);
        let (writing, generating) = (gate.part(WRITES), gate.part(GENERATIONS));
        let streams = Arc::new(Semaphore::new(options.max_streams as usize));
        let transfers = Arc::new(Semaphore::new(options.max_transfers as usize));
        let copying = Gate::new(options.max_transfers, 0, options.max_wait);
        let metrics = Arc::new(Metrics::new(engine.clone(), gate.clone()));
        let model = Model::of(&engine);
        Self {
            engine,
            model,
            gate,
            writing,
            generating,
            streams,
            transfers,
            copying,
            searching: Line::new(),
            unread: Memory::new(options.max_unread_bytes, "replies", "--max-unread"),
            metrics,
            measuring: Arc::new(Semaphore::new(1)),
            looking: Arc::new(Semaphore::new(1)),
            opened: CancellationToken::new(),
            options: Arc::new(options),
            stopping: CancellationToken::new(),
        }
    }

    /// Whether calls can be answered: the model is loaded, as there is an engine.
    ///
    /// # Errors
    /// UNAVAILABLE while banks are opened and from the beginning of the end on; the disk's error when the banks cannot be
    /// looked at.
    pub async fn readiness(&self) -> Result<(), Status> {
        let not_yet = |reason: &str| Error::Unavailable {
            what: "the server".to_owned(),
            reason: format!("{reason}; ask again later"),
        };
        if self.stopping.is_cancelled() {
            return Err(not_yet("it is shutting down").into());
        }
        if !self.opened.is_cancelled() {
            return Err(not_yet("it opens its banks").into());
        }
        let engine = self.engine.clone();
        alone(&self.looking, move || engine.names()).await.map(drop)
    }

    /// The metrics as text.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn measured(&self) -> Result<String, Status> {
        let metrics = Arc::clone(&self.metrics);
        alone(&self.measuring, move || metrics.write()).await
    }

    /// Opens every bank, so that no call has to wait for that. One that cannot be opened is left, with a word in the log.
    pub async fn open_banks(&self) {
        let engine = self.engine.clone();
        let names = tokio::task::spawn_blocking(move || engine.names()).await;
        let names = names.map_err(|e| Error::Internal(e.to_string())).and_then(|names| names);
        let names = names.unwrap_or_else(|error| {
            tracing::error!(%error, "the banks cannot be opened");
            Vec::new()
        });
        for name in names {
            if self.stopping.is_cancelled() {
                return;
            }
            let engine = self.engine.clone();
            let open = move || {
                engine.bank(&name).map(drop).inspect_err(|error| {
                    tracing::warn!(bank = %name, %error, "a bank cannot be opened");
                })
            };
            let _ = tokio::task::spawn_blocking(open).await; // it said what went wrong
        }
    }

    /// A place among the bulk streams, until it is dropped.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when all are taken.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.streams, "bulk streams", self.options.max_streams, "--max-streams")
    }

    /// A place among the snapshots that are on their way, until it is dropped.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when all are taken.
    pub fn transfer(&self) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.transfers, "snapshots on their way", self.options.max_transfers, "--max-transfers")
    }

    /// What one call may ask for.
    pub fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// What a reply may keep of the questions that it is made of; `instead` is what the caller might ask for otherwise.
    pub fn keeping(&self, wanted: ReadMask, instead: &'static str) -> Keeping {
        Keeping::new(wanted, self.options.max_message_bytes, instead)
    }

    /// A reply, if messages may be so large; `instead` is what the caller might ask for otherwise.
    ///
    /// # Errors
    /// OUT_OF_RANGE when it is too large, RESOURCE_EXHAUSTED when too much waits to be read.
    pub fn reply<T: prost::Message>(&self, reply: T, instead: &str) -> Result<Response<T>, Status> {
        let bytes = message_size::of_reply(&reply, self.options.max_message_bytes, instead)?;
        let part = self.unread.take(bytes.div_ceil(BLOCK).max(1))?;
        let mut response = Response::new(reply);
        response.extensions_mut().insert(Unread::new(part));
        Ok(response)
    }

    /// The same for what writes into banks.
    pub fn to_write(&self) -> Self {
        Self { gate: self.writing.clone(), ..self.clone() }
    }

    /// The same for what the decoder writes.
    pub fn to_generate(&self) -> Self {
        Self { gate: self.generating.clone(), ..self.clone() }
    }

    /// Returns when no call runs, after all that waited before.
    pub async fn idle(&self) {
        tokio::join!(self.gate.idle(), self.writing.idle(), self.generating.idle());
    }

    /// Runs `work` with the model; returns its result and how long it waited. See [`Gate::run`].
    pub async fn in_model<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Model) -> Result<T> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let model = self.model.clone();
        self.gate.run(move || work(&model)).await
    }

    /// Vectors of `texts`, and how long the call waited for its turn.
    pub async fn embed(&self, texts: Vec<String>) -> Result<(Vectors, Duration), Status> {
        let embed = |turn: Turn<_>| {
            self.model.embed_later(texts, turn.waiter(), Box::new(move |vectors| turn.answer(vectors)));
        };
        self.gate.begin(embed).await
    }

    /// Looks questions up in a bank; returns what was found for each request, and how long the call waited for its turn.
    ///
    /// # Errors
    /// As for [`Context::in_bank`].
    pub async fn search(
        &self,
        caller: &Caller,
        bank: String,
        requests: Vec<SearchRequest>,
        keeping: Keeping,
    ) -> Result<(Vec<SearchResponse>, Duration), Status> {
        let (engine, name, line) = (self.engine.clone(), caller.bank("bank", bank)?, self.searching.clone());
        let search = move |turn: Turn<_>| match engine.open_bank(&name) {
            Some(bank) => bank.search_later(requests, turn.waiter(), move |encoded| match encoded {
                Ok(encoded) if encoded.is_short() => turn.work_in(&line, move || encoded.search(&|q| keeping.keep(q))),
                Ok(encoded) => turn.work(move || encoded.search(&|q| keeping.keep(q))),
                Err(error) => turn.answer(Err(error)),
            }),
            None => turn.work(move || engine.bank(&name)?.search_batch_keeping(&requests, &|q| keeping.keep(q))),
        };
        self.gate.begin(search).await
    }

    /// Runs `work` with a bank; returns its result and how long it waited. See [`Gate::run`].
    ///
    /// # Errors
    /// INVALID_ARGUMENT when it is no name, PERMISSION_DENIED when the caller may not use it, NOT_FOUND when there is none.
    pub async fn in_bank<T: Send + 'static>(
        &self,
        caller: &Caller,
        name: String,
        work: impl FnOnce(Bank) -> Result<T> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let (engine, name) = (self.engine.clone(), caller.bank("bank", name)?);
        self.gate.run(move || work(engine.bank(&name)?)).await
    }

    /// [`Context::in_bank`] for work that does nothing but read from the disk or write to it; with its times.
    ///
    /// # Errors
    /// As for [`Context::in_bank`].
    pub async fn in_store<T: Send + 'static>(
        &self,
        caller: &Caller,
        name: String,
        work: impl FnOnce(Bank) -> Result<T> + Send + 'static,
    ) -> Result<(T, proto::Timings), Status> {
        let timed = move |bank| {
            let started = Instant::now();
            let result = work(bank)?;
            Ok((result, Timings { store: started.elapsed(), ..Timings::default() }))
        };
        let ((result, timings), waited) = self.in_bank(caller, name, timed).await?;
        Ok((result, convert::timings(timings, waited)))
    }

    /// Runs `work` for a bank that may be there or not; returns its result and how long it waited. See [`Gate::run`].
    ///
    /// # Errors
    /// INVALID_ARGUMENT when it is no name, PERMISSION_DENIED when the caller may not use it.
    pub async fn at_bank<T: Send + 'static>(
        &self,
        caller: &Caller,
        name: String,
        work: impl FnOnce(&Engine, &BankName) -> Result<T> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let (engine, name) = (self.engine.clone(), caller.bank("name", name)?);
        self.gate.run(move || work(&engine, &name)).await
    }

    /// Opens a bank for a stream, which would rather wait than be turned away.
    ///
    /// # Errors
    /// As for [`Context::in_bank`].
    pub async fn open(&self, caller: &Caller, name: String) -> Result<(BankName, Bank), Status> {
        let (engine, name) = (self.engine.clone(), caller.bank("bank", name)?);
        self.gate.run_patiently(move || engine.bank(&name).map(|bank| (name, bank))).await
    }

    /// What a bank is restored by: one of this name, or of the name that the snapshot has, if it is empty.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when it is no name, PERMISSION_DENIED when the caller may not use it.
    pub fn restoring(&self, caller: &Caller, name: String) -> Result<(Engine, Option<BankName>), Status> {
        Ok((self.engine.clone(), caller.bank_or_any(name)?))
    }

    /// The first so many banks that the caller may know of, by name, after the one of this name.
    ///
    /// # Errors
    /// A bank's folder cannot be read.
    pub async fn banks(&self, caller: Caller, after: Option<BankName>, most: usize) -> Result<Vec<BankStatus>, Status> {
        let engine = self.engine.clone();
        let wanted = move |name: &BankName| {
            caller.may_use(name) && after.as_ref().is_none_or(|after| name.as_str() > after.as_str())
        };
        Ok(self.gate.run(move || engine.banks_where(wanted, most)).await?.0)
    }

    /// Flushes the banks when the last work is done.
    ///
    /// # Errors
    /// A bank cannot be flushed.
    pub async fn close(self) -> Result<()> {
        tokio::join!(self.idle(), self.copying.idle());
        let engine = self.engine;
        tokio::task::spawn_blocking(move || engine.close())
            .await
            .map_err(|e| Error::Internal(format!("flushing the banks panicked: {e}")))?
    }
}

/// Does work that blocks while nobody else does the like. It has its turn until it is done, even if its caller leaves.
async fn alone<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, Status> {
    let turn = Arc::clone(turns).acquire_owned().await; // never closed
    let in_turn = move || {
        let _turn = turn;
        work()
    };
    let done = tokio::task::spawn_blocking(in_turn).await;
    Ok(done.map_err(|_| Error::Internal("looking at the disk panicked".to_owned()))??)
}

fn place(places: &Arc<Semaphore>, what: &str, most: u32, setting: &str) -> Result<OwnedSemaphorePermit, Status> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        let limit = format!("{most} at once by the server's `{setting}`");
        Error::Exhausted { what: format!("the list of {what}"), limit }.into()
    })
}
