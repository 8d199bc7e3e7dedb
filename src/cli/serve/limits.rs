//! How much is served at once: the settings.

use clap::{Args, value_parser};

use crate::server::ServerOptions;

/// How much is served at once.
#[derive(Args)]
pub(super) struct LimitArgs {
    /// Calls that run at once and share the encoder's batches; eight for each core when absent.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096))]
    pub max_concurrent: Option<u32>,
    /// Calls that may wait for their turn; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_waiting,
        value_parser = value_parser!(u32).range(..=1_000_000))]
    pub max_waiting: u32,
    /// Streams of questions, in or out, that may be open at once; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_streams,
        value_parser = value_parser!(u32).range(1..=65_536))]
    pub max_streams: u32,
    /// Snapshots that may be taken, sent, received and restored at once; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_transfers,
        value_parser = value_parser!(u32).range(1..=1024))]
    pub max_transfers: u32,
    /// Questions of a bulk stream that are encoded and committed at once.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().bulk_batch as u32,
        value_parser = value_parser!(u32).range(1..=65_536))]
    pub bulk_batch: u32,
    /// MiB for vectors of texts that were asked for lately; 0 keeps none.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = value_parser!(u32).range(..=65_536))]
    pub cache_mib: u32,
    /// Largest message in and out, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = value_parser!(u32).range(1..=1024))]
    pub max_message: u32,
    /// Connections of each port that may be open at once; who comes then waits.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_connections,
        value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Seconds that a peer may take over the headers of a request.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerOptions::default().header_timeout.as_secs(),
        value_parser = value_parser!(u64).range(1..=3600))]
    pub header_timeout: u64,
    /// Seconds that a connection without any call is kept.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerOptions::default().idle_timeout.as_secs(),
        value_parser = value_parser!(u64).range(1..=86_400))]
    pub idle_timeout: u64,
    /// Seconds that open calls have when the server shuts down.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerOptions::default().grace.as_secs())]
    pub grace: u64,
}
