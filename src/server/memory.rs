//! Memory that calls share. Each is bounded by the largest message; this bounds all of them together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::Error;

/// What is counted together.
pub(super) const BLOCK: usize = 1 << 10;

/// So many bytes, for one purpose. Cheap to clone.
#[derive(Clone)]
pub(super) struct Memory {
    left: Arc<Semaphore>,
    bytes: usize,
    /// What it is for, such as “requests”.
    purpose: &'static str,
    /// The option that sets its size.
    setting: &'static str,
}

/// A part of it, given back when it is dropped.
pub(super) type Part = OwnedSemaphorePermit;

impl Memory {
    pub fn new(bytes: usize, purpose: &'static str, setting: &'static str) -> Self {
        let left = Arc::new(Semaphore::new((bytes / BLOCK).min(Semaphore::MAX_PERMITS)));
        Self { left, bytes, purpose, setting }
    }

    /// Takes so many blocks.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when others have them.
    pub fn take(&self, blocks: usize) -> Result<Part, Status> {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        Arc::clone(&self.left).try_acquire_many_owned(blocks).map_err(|_| {
            let limit = format!("{} MiB by the server's `{}`", self.bytes >> 20, self.setting);
            Error::Exhausted { what: format!("the server's memory for {}", self.purpose), limit }.into()
        })
    }

    #[cfg(test)]
    pub fn left(&self) -> usize {
        self.left.available_permits()
    }
}
