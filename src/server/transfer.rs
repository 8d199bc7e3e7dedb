//! What both ways of a snapshot need: a file that is worked on off the asynchronous threads, and an end.

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::calls;
use super::gate::Gate;
use crate::runtime::waited_for;
use crate::{Error, Result};

/// What a caller hears when the server stops meanwhile.
pub(super) fn shutting_down() -> Status {
    calls::shutting_down("ask again when it is back")
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

/// For each step of a transfer's work.
///
/// # Errors
/// The caller has gone, or the server shuts down.
pub(super) fn go_on(stopping: &CancellationToken) -> Result<()> {
    if waited_for() && !stopping.is_cancelled() {
        return Ok(());
    }
    Err(Error::Cancelled { what: "a snapshot on its way".to_owned() })
}
