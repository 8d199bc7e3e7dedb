//! What both ways of a snapshot need: a place, a file that is worked on off the asynchronous threads, and an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::context::Context;
use super::gate::Gate;
use crate::{Error, Result};

/// A place among the snapshots that are on their way, until it is dropped.
///
/// # Errors
/// RESOURCE_EXHAUSTED when all are taken.
pub(super) fn place(context: &Context) -> Result<OwnedSemaphorePermit, Status> {
    context.transfers.clone().try_acquire_owned().map_err(|_| {
        let limit = format!("{} at once", context.options.max_transfers);
        Error::Exhausted { what: "the list of snapshots on their way".to_owned(), limit }.into()
    })
}

/// What a caller hears when the server stops meanwhile.
pub(super) fn shutting_down() -> Status {
    let reason = "it is shutting down; ask again when it is back".to_owned();
    Error::Unavailable { what: "the server".to_owned(), reason }.into()
}

/// A value whose every use, and whose end, may block. Dropped on an asynchronous thread, it is put away on another.
pub(super) struct Blocking<T: Send + 'static> {
    gate: Gate,
    value: Option<T>,
}

impl<T: Send + 'static> Blocking<T> {
    /// The value that `make` makes.
    pub async fn new(gate: &Gate, make: impl FnOnce() -> Result<T> + Send + 'static) -> Result<Self, Status> {
        let value = gate.run_patiently(make).await?;
        Ok(Self { gate: gate.clone(), value: Some(value) })
    }

    /// Works with the value. It goes when the work fails, or when its caller has gone.
    pub async fn with<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut T) -> Result<R> + Send + 'static,
    ) -> Result<R, Status> {
        let value = self.value.take();
        let mut value = value.ok_or_else(|| Error::Internal("a transfer goes on after it failed".to_owned()))?;
        let work = move || work(&mut value).map(|result| (result, value));
        let (result, value) = self.gate.run_patiently(work).await?;
        self.value = Some(value);
        Ok(result)
    }
}

impl<T: Send + 'static> Drop for Blocking<T> {
    fn drop(&mut self) {
        // Without a runtime this is no asynchronous thread.
        if let (Some(value), Ok(runtime)) = (self.value.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(value));
        }
    }
}

/// Ends work when its caller has gone: dropped, it has every [`End`] say so.
#[derive(Default)]
pub(super) struct Caller(Arc<AtomicBool>);

/// Asked by the work, again and again.
pub(super) struct End(Arc<AtomicBool>);

impl Caller {
    pub fn end(&self) -> End {
        End(Arc::clone(&self.0))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl End {
    /// # Errors
    /// The caller has gone.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::Cancelled { what: "a snapshot on its way".to_owned() });
        }
        Ok(())
    }
}
