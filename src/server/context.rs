//! What every service holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::ServerOptions;
use super::gate::Gate;
use super::metrics::Metrics;
use crate::engine::{Bank, BankName, Engine};
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
    pub metrics: Arc<Metrics>,
    /// One permit for who reads the metrics, which takes looking at the disk.
    pub measuring: Arc<Semaphore>,
    /// Cancelled when the banks are open that were to be opened before calls come.
    pub opened: CancellationToken,
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
        let metrics = Arc::new(Metrics::new(engine.clone(), gate.clone()));
        Self {
            engine,
            gate,
            streams,
            transfers,
            copying,
            metrics,
            measuring: Arc::new(Semaphore::new(1)),
            opened: CancellationToken::new(),
            options,
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
        let looked = tokio::task::spawn_blocking(move || engine.names()).await;
        looked.map_err(|_| Error::Internal("looking at the banks panicked".to_owned()))??;
        Ok(())
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
        place(&self.streams, "bulk streams", self.options.max_streams)
    }

    /// A place among the snapshots that are on their way, until it is dropped.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when all are taken.
    pub fn transfer(&self) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.transfers, "snapshots on their way", self.options.max_transfers)
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
