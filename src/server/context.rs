//! What every service holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::ServerOptions;
use super::gate::Gate;
use crate::engine::{Bank, BankName, Engine};
use crate::{Error, Result};

/// The engine behind its gate. Cheap to clone.
#[derive(Clone)]
pub(super) struct Context {
    pub engine: Engine,
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
    pub options: ServerOptions,
    /// Cancelled when the server begins to shut down: streams end after the batch they are at.
    pub stopping: CancellationToken,
}

impl Context {
    pub fn new(engine: Engine, options: ServerOptions) -> Self {
        let gate = Gate::new(options.max_concurrent, options.max_waiting, options.max_wait);
        let (writing, generating) = (gate.fourth(), gate.fourth());
        let streams = Arc::new(Semaphore::new(options.max_streams as usize));
        let transfers = Arc::new(Semaphore::new(options.max_transfers as usize));
        let copying = Gate::new(options.max_transfers, 0, options.max_wait);
        let stopping = CancellationToken::new();
        Self { engine, gate, writing, generating, streams, transfers, copying, options, stopping }
    }

    /// A place among the bulk streams, until it is dropped.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when all are taken.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.streams, "bulk streams", self.options.max_streams)
    }

    /// A place among the snapshots that are on their way, until it is dropped.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when all are taken.
    pub fn transfer(&self) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.transfers, "snapshots on their way", self.options.max_transfers)
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
        let name = BankName::new(name)?;
        self.in_engine(move |engine| work(engine.bank(&name)?)).await
    }
}

fn place(places: &Arc<Semaphore>, what: &str, most: u32) -> Result<OwnedSemaphorePermit, Status> {
    Arc::clone(places)
        .try_acquire_owned()
        .map_err(|_| Error::Exhausted { what: format!("the list of {what}"), limit: format!("{most} at once") }.into())
}
