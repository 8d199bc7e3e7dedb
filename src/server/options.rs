//! What can be set on a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::limits::Limits;
use super::proto;
use crate::{Error, Result};

/// Calls that run at once, by default, for each core: most of them wait for the encoder, and fill its batches.
const CALLS_PER_CORE: u32 = 8;

/// Where and how a server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// The address to listen on. Port 0 takes a free one; [`super::Server::address`] tells which.
    pub listen: SocketAddr,
    /// Calls whose work runs at once, at least 1. Those that want vectors share batches of the encoder.
    pub max_concurrent: u32,
    /// Calls that may wait for their turn; more are answered RESOURCE_EXHAUSTED at once.
    pub max_waiting: u32,
    /// Bulk streams that may be open at once, at least 1.
    pub max_streams: u32,
    /// Snapshots that may be taken, sent, received and restored at once, at least 1.
    pub max_transfers: u32,
    /// Questions of a bulk stream that are encoded and committed at once, at least 1.
    pub bulk_batch: usize,
    /// Bytes of the largest message in and out, at least 64 KiB.
    pub max_message_bytes: usize,
    /// Bytes of requests that are held at once, at least those of the largest message; more are answered RESOURCE_EXHAUSTED.
    pub max_received_bytes: usize,
    /// Connections that may be open at once, at least 1; more are closed as they come.
    pub max_connections: u32,
    /// Calls of one connection that may be open at once, at least 1; a client that wants more waits.
    pub max_connection_calls: u32,
    /// What one call may ask for.
    pub limits: Limits,
    /// How long a bulk stream may be without a message. Then it ends, since there is room for few.
    pub stream_idle: Duration,
    /// How long calls may go on after the server was told to shut down.
    pub grace: Duration,
}

impl Default for ServerOptions {
    /// Loopback, eight running calls for each core, 16 MiB messages.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            max_concurrent: CALLS_PER_CORE * cores,
            max_waiting: 256,
            max_streams: 16,
            max_transfers: 4,
            bulk_batch: 256,
            max_message_bytes: 16 << 20,
            max_received_bytes: 1 << 30,
            max_connections: 10_000,
            max_connection_calls: 1024,
            limits: Limits::default(),
            stream_idle: Duration::from_secs(600),
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
            ("max_received_bytes", self.max_received_bytes, self.max_message_bytes),
            ("max_connections", self.max_connections as usize, 1),
            ("max_connection_calls", self.max_connection_calls as usize, 1),
        ];
        match least.into_iter().find(|(_, received, least)| received < least) {
            Some((what, received, least)) => Err(Error::invalid(what, format!("at least {least}"), received)),
            None => self.limits.validate(),
        }
    }

    /// The limits, as the contract has them.
    pub(super) fn limits_message(&self) -> proto::Limits {
        proto::Limits {
            message_bytes: self.max_message_bytes as u64,
            bulk_batch: u32::try_from(self.bulk_batch).unwrap_or(u32::MAX),
            concurrent_calls: self.max_concurrent,
            waiting_calls: self.max_waiting,
            streams: self.max_streams,
            transfers: self.max_transfers,
            ..self.limits.message()
        }
    }
}
