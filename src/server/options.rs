//! What can be set on a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::http;
use crate::{Error, Result};

/// Calls that run at once, by default, for each core: most of them wait for the encoder, and fill its batches.
const CALLS_PER_CORE: u32 = 8;

/// Where and how a server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// The address to listen on. Port 0 takes a free one; [`super::Server::address`] tells which.
    pub listen: SocketAddr,
    /// The address for HTTP and JSON, gRPC-web and monitoring; none when absent. [`super::Server::http_address`] tells
    /// the actual port.
    pub http: Option<SocketAddr>,
    /// Origins whose pages may read what the HTTP port answers, such as `https://example.org`; `*` for all.
    pub cors_origins: Vec<String>,
    /// Connections of each port that may be open at once, at least 1. Who comes then waits until one is closed.
    pub max_connections: u32,
    /// How long a peer may take to begin, and over the headers of a request; and how long one that holds
    /// one message may pause.
    pub header_timeout: Duration,
    /// How long a connection without any open request is kept. One of HTTP/1 is kept for `header_timeout`.
    pub idle_timeout: Duration,
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
    /// Whether every bank is opened before the server says that it is ready, rather than by its first call.
    pub open_banks: bool,
    /// A call that takes longer is slow, which the log says; streams never are.
    pub slow_call: Duration,
    /// How long calls may go on after the server was told to shut down.
    pub grace: Duration,
}

impl Default for ServerOptions {
    /// Loopback, no HTTP, eight running calls for each core, 16 MiB messages.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            max_concurrent: CALLS_PER_CORE * cores,
            http: None,
            cors_origins: Vec::new(),
            max_connections: 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            max_waiting: 256,
            max_streams: 16,
            max_transfers: 4,
            bulk_batch: 256,
            max_message_bytes: 16 << 20,
            open_banks: false,
            slow_call: Duration::from_secs(1),
            grace: Duration::from_secs(20),
        }
    }
}

impl ServerOptions {
    /// # Errors
    /// A number is below its least, or an origin is none.
    pub(super) fn validate(&self) -> Result<()> {
        self.cors_origins.iter().try_for_each(|origin| http::check_origin(origin))?;
        let least = [
            ("max_connections", self.max_connections as usize, 1),
            ("milliseconds of header_timeout", self.header_timeout.as_millis() as usize, 1),
            ("milliseconds of idle_timeout", self.idle_timeout.as_millis() as usize, 1),
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
