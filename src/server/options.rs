//! What can be set on a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::{Error, Result};

/// Calls that run at once, by default, for each core: most of them wait for the encoder, and fill its batches.
const CALLS_PER_CORE: u32 = 16;

/// Where and how a server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// The address to listen on. Port 0 takes a free one; [`super::Server::address`] tells which.
    pub listen: SocketAddr,
    /// Calls whose work runs at once, at least 1. Those that want vectors share batches of the encoder.
    pub max_concurrent: u32,
    /// Calls that may wait for their turn; more are answered RESOURCE_EXHAUSTED at once. So many of each kind: those that
    /// read, those that write, and those that have questions written, which take a fourth of the running ones at most.
    pub max_waiting: u32,
    /// How long a call may wait for its turn until it is answered RESOURCE_EXHAUSTED.
    pub max_wait: Duration,
    /// Bulk streams that may be open at once, at least 1.
    pub max_streams: u32,
    /// Snapshots that may be taken, sent, received and restored at once, at least 1.
    pub max_transfers: u32,
    /// Questions of a bulk stream that are encoded and committed at once, at least 1.
    pub bulk_batch: usize,
    /// Bytes of the largest message in and out, at least 64 KiB.
    pub max_message_bytes: usize,
    /// How long calls may go on after the server was told to shut down.
    pub grace: Duration,
}

impl Default for ServerOptions {
    /// Loopback, sixteen running calls for each core, 16 MiB messages.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            max_concurrent: CALLS_PER_CORE * cores,
            max_waiting: 256,
            max_wait: Duration::from_millis(100),
            max_streams: 16,
            max_transfers: 4,
            bulk_batch: 256,
            max_message_bytes: 16 << 20,
            grace: Duration::from_secs(20),
        }
    }
}

impl ServerOptions {
    /// # Errors
    /// A number is below its least.
    pub(super) fn validate(&self) -> Result<()> {
        let least = [
            ("max_concurrent", self.max_concurrent as usize, 1),
            ("max_streams", self.max_streams as usize, 1),
            ("max_transfers", self.max_transfers as usize, 1),
            ("bulk_batch", self.bulk_batch, 1),
            ("max_message_bytes", self.max_message_bytes, 64 << 10),
        ];
        match least.into_iter().find(|(_, received, least)| received < least) {
            Some((what, received, least)) => Err(Error::invalid(what, format!("at least {least}"), received)),
            None => Ok(()),
        }
    }
}
