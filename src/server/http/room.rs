//! How much JSON there may be at once. A body of `0,0,0,…` is a message of some thirty times its size, which no limit of
//! a single body bounds.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::Error;

/// Bytes that are counted as one.
const BLOCK: usize = 1 << 10;

/// Room for so many bytes, whose bodies share it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room {
    blocks: Arc<Semaphore>,
    bytes: usize,
}

/// What one body takes of it, until it is dropped.
pub(super) struct Place {
    room: Room,
    taken: Option<OwnedSemaphorePermit>,
    /// Bytes that came and are not counted as a block yet.
    rest: usize,
}

impl Room {
    pub fn new(bytes: usize) -> Self {
        Self { blocks: Arc::new(Semaphore::new(bytes / BLOCK)), bytes }
    }

    /// A place for a body that is empty yet.
    pub fn place(&self) -> Place {
        Place { room: self.clone(), taken: None, rest: 0 }
    }
}

impl Place {
    /// Makes room for more of the body.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when other bodies have taken it.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        self.rest += bytes;
        let blocks = self.rest / BLOCK;
        self.rest %= BLOCK;
        if blocks == 0 {
            return Ok(());
        }
        let more =
            u32::try_from(blocks).ok().and_then(|n| Arc::clone(&self.room.blocks).try_acquire_many_owned(n).ok());
        let more = more.ok_or_else(|| {
            let limit = format!("{} bytes at once", self.room.bytes);
            Status::from(Error::Exhausted { what: "the server's room for JSON".to_owned(), limit })
        })?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_the_room_and_give_it_back() {
        let room = Room::new(8 << 10);
        let (mut one, mut other) = (room.place(), room.place());
        for _ in 0..12 {
            one.grow(512).unwrap();
        }
        other.grow(2 << 10).unwrap();
        let status = other.grow(1 << 10).unwrap_err();
        assert!(status.message().contains("room for JSON is full (8192 bytes at once)"), "{status}");
        other.grow(100).unwrap();
        drop(one);
        other.grow(6 << 10).unwrap();
    }
}
