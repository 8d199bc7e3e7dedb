//! Replies wait in memory until their callers have read them, which some never do. All of them together share a memory,
//! and a connection whose caller takes too long over one is closed.

use std::sync::Arc;

use bytes::Bytes;

use super::activity::Reading;
use super::memory::Part;

/// Lies in the extensions of a response, and keeps the memory of its reply.
#[derive(Clone)]
pub(super) struct Unread {
    _part: Arc<Part>,
}

impl Unread {
    pub fn new(part: Part) -> Self {
        Self { _part: Arc::new(part) }
    }
}

/// Bytes of a reply. The connection drops them when it has sent them.
pub(super) struct Sending {
    pub bytes: Bytes,
    /// The memory and the time of their reply.
    pub _kept: Arc<(Unread, Reading)>,
}

impl AsRef<[u8]> for Sending {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
