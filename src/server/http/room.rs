//! How much JSON there may be at once. A body of `0,0,0,…` is a message of some thirty times its size, which no limit of
//! a single body bounds.

use tonic::Status;

use crate::server::memory::{BLOCK, Memory, Part};

/// Room for so many bytes, whose bodies share it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room(Memory);

/// What one body takes of it, until it is dropped.
pub(super) struct Place {
    room: Room,
    taken: Option<Part>,
    /// Bytes that came and are not counted as a block yet.
    rest: usize,
}

impl Room {
    pub fn new(bytes: usize) -> Self {
        Self(Memory::new(bytes, "JSON", "--max-message"))
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
        let more = self.room.0.take(blocks)?;
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
        assert!(
            status.message().contains("the server's memory for JSON is full (0 MiB by the server's `--max-message`)"),
            "{status}"
        );
        other.grow(100).unwrap();
        drop(one);
        other.grow(6 << 10).unwrap();
    }
}
