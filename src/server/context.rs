//! What every service holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

use super::gate::Gate;
use super::limits::Limits;
use super::refused::At;
use super::{ServerOptions, convert, message_size, proto};
use crate::engine::{Bank, BankName, Engine, Timings};
use crate::{Error, Result};

/// The engine behind its gate. Cheap to clone.
#[derive(Clone)]
pub(super) struct Context {
    pub engine: Engine,
    pub gate: Gate,
    /// One permit for each open bulk stream.
    pub streams: Arc<Semaphore>,
    /// One permit for each snapshot that is on its way.
    pub transfers: Arc<Semaphore>,
    /// What copies, sends, receives and restores snapshots: beside the calls, which such long work must not hold up.
    pub copying: Gate,
    pub options: ServerOptions,
    /// Cancelled when the server begins to shut down: streams end after the batch they are at.
    pub stopping: CancellationToken,
}

impl Context {
    pub fn new(engine: Engine, options: ServerOptions) -> Self {
        let gate = Gate::new(options.max_concurrent, options.max_waiting);
        let streams = Arc::new(Semaphore::new(options.max_streams as usize));
        let transfers = Arc::new(Semaphore::new(options.max_transfers as usize));
        let copying = Gate::new(options.max_transfers, 0);
        Self { engine, gate, streams, transfers, copying, options, stopping: CancellationToken::new() }
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

    /// A reply, if messages may be so large; `instead` is what the caller might ask for otherwise.
    ///
    /// # Errors
    /// OUT_OF_RANGE when it is too large.
    pub fn reply<T: prost::Message>(&self, reply: T, instead: &str) -> Result<Response<T>, Status> {
        message_size::reply(reply, self.options.max_message_bytes, instead)
    }

    /// Runs `work` with the engine; returns its result and how long it waited. See [`Gate::run`].
    pub async fn in_engine<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let engine = self.engine.clone();
        self.gate.run(move || work(&engine)).await
    }

    /// Runs `work` with a bank; returns its result and how long it waited. See [`Gate::run`].
    pub async fn in_bank<T: Send + 'static>(
        &self,
        name: String,
        work: impl FnOnce(Bank) -> Result<T> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let name = BankName::new(name).at("bank")?;
        self.in_engine(move |engine| work(engine.bank(&name)?)).await
    }

    /// [`Context::in_bank`] for work that does nothing but read from the disk or write to it; with its times.
    pub async fn in_store<T: Send + 'static>(
        &self,
        name: String,
        work: impl FnOnce(Bank) -> Result<T> + Send + 'static,
    ) -> Result<(T, proto::Timings), Status> {
        let name = BankName::new(name).at("bank")?;
        let timed = move |engine: &Engine| {
            let started = Instant::now();
            let result = work(engine.bank(&name)?)?;
            Ok((result, Timings { store: started.elapsed(), ..Timings::default() }))
        };
        let ((result, timings), waited) = self.in_engine(timed).await?;
        Ok((result, convert::timings(timings, waited)))
    }
}

fn place(places: &Arc<Semaphore>, what: &str, most: u32, setting: &str) -> Result<OwnedSemaphorePermit, Status> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        let limit = format!("{most} at once by the server's `{setting}`");
        Error::Exhausted { what: format!("the list of {what}"), limit }.into()
    })
}
