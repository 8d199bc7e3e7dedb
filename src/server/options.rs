//! What can be set on a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::limits::Limits;
use super::{TlsFiles, http, proto};
use crate::{Error, Result};

/// Calls that run at once, by default, for each core: most of them wait for the encoder, and fill its batches.
const CALLS_PER_CORE: u32 = 64;

/// Where and how a server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// The address to listen on. Port 0 takes a free one; [`super::Server::address`] tells which.
    pub listen: SocketAddr,
    /// What the connections are encrypted with; in plain text when absent.
    pub tls: Option<TlsFiles>,
    /// Whether an address that other machines reach may be served without `tls`.
    pub allow_plaintext: bool,
    /// A file of API keys, one of which every call needs then; everybody may do everything when absent.
    pub keys: Option<PathBuf>,
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
    /// Calls that may wait for their turn; more are answered RESOURCE_EXHAUSTED at once. So many of each kind: those that
    /// read, those that write, which take one in 16 of the running ones at most, and those that have questions written,
    /// which take one in 32.
    pub max_waiting: u32,
    /// How long a call may wait, for its turn and until encoder or decoder begin, until it is answered RESOURCE_EXHAUSTED.
    pub max_wait: Duration,
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
    /// Bytes of requests, and of what they become when they are decoded, that are held at once, at least those of the
    /// largest message; more are answered RESOURCE_EXHAUSTED.
    pub max_received_bytes: usize,
    /// Bytes of replies that are held until their callers have read them, at least those of the largest message; calls whose
    /// reply would be more are answered RESOURCE_EXHAUSTED.
    pub max_unread_bytes: usize,
    /// Calls of one connection that may be open at once, at least 1; a client that wants more waits.
    pub max_connection_calls: u32,
    /// What one call may ask for.
    pub limits: Limits,
    /// How long a stream may be without a message, or its replies without being read. Then it ends, since there is room for
    /// few.
    pub stream_idle: Duration,
    /// How long calls may go on after the server was told to shut down.
    pub grace: Duration,
}

impl Default for ServerOptions {
    /// Loopback, no HTTP, 64 running calls for each core, 16 MiB messages.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            tls: None,
            allow_plaintext: false,
            keys: None,
            max_concurrent: CALLS_PER_CORE * cores,
            http: None,
            cors_origins: Vec::new(),
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            max_waiting: 256,
            max_wait: Duration::from_millis(200),
            max_streams: 16,
            max_transfers: 4,
            bulk_batch: 256,
            max_message_bytes: 16 << 20,
            open_banks: false,
            slow_call: Duration::from_secs(1),
            max_received_bytes: 1 << 30,
            max_unread_bytes: 1 << 30,
            max_connection_calls: 1024,
            limits: Limits::default(),
            stream_idle: Duration::from_secs(600),
            grace: Duration::from_secs(20),
        }
    }
}

impl ServerOptions {
    /// Checks what can be told without opening anything; [`super::Server::bind`] does, too.
    ///
    /// # Errors
    /// A number is below its least, an origin is none, or an address is open to others that must not be.
    pub fn validate(&self) -> Result<()> {
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
            ("max_received_bytes", self.max_received_bytes, self.max_message_bytes),
            ("max_unread_bytes", self.max_unread_bytes, self.max_message_bytes),
            ("max_connections", self.max_connections as usize, 1),
            ("max_connection_calls", self.max_connection_calls as usize, 1),
        ];
        match least.into_iter().find(|(_, received, least)| received < least) {
            Some((what, received, least)) => Err(Error::invalid(what, format!("at least {least}"), received)),
            None => {
                self.limits.validate()?;
                let addresses = [Some(self.listen), self.http].into_iter().flatten();
                addresses.into_iter().try_for_each(|address| self.check_exposure(address))
            }
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

    /// Plain text stays on this machine, unless it is allowed to leave.
    ///
    /// # Errors
    /// Other machines reach the address, and nothing encrypts what they say.
    pub(super) fn check_exposure(&self, address: SocketAddr) -> Result<()> {
        if address.ip().to_canonical().is_loopback() || self.tls.is_some() || self.allow_plaintext {
            return Ok(());
        }
        let expected = "TLS (`--tls-cert` and `--tls-key`) on an address that other machines reach, or \
            `--allow-plaintext` where something else encrypts";
        Err(Error::invalid(format!("address {address}"), expected, "neither"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_is_served_in_plain_text_unasked() {
        let check = |address: &str, allow_plaintext| {
            ServerOptions { allow_plaintext, ..ServerOptions::default() }.check_exposure(address.parse().unwrap())
        };
        for here in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            check(here, false).unwrap();
        }
        for open in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "[::ffff:10.0.0.1]:1"] {
            assert!(check(open, false).unwrap_err().to_string().contains("received neither"), "{open}");
            check(open, true).unwrap();
        }
        let keys = ServerOptions { keys: Some("keys.toml".into()), ..ServerOptions::default() };
        keys.check_exposure("127.0.0.1:1".parse().unwrap()).unwrap();
        keys.check_exposure("0.0.0.0:1".parse().unwrap()).unwrap_err(); // they would be read on the way
        let files = TlsFiles { certificate: "a".into(), key: "b".into(), client_ca: None };
        let encrypted = ServerOptions { tls: Some(files), ..ServerOptions::default() };
        encrypted.check_exposure("0.0.0.0:1".parse().unwrap()).unwrap();
    }
}
