//! `simbert serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, value_parser};
use tokio::signal::unix::{SignalKind, signal};

use super::log::{LogFormat, start_log_as};
use super::{DataArgs, ModelArgs};
use crate::engine::{Engine, EngineOptions};
use crate::server::{Server, ServerOptions, TraceOptions, Traces};

/// Serve banks over gRPC, and over HTTP if asked to.
///
/// The services are in `proto/simbert/v1`; reflection and health are on. With --http, a console page is at / of that port,
/// and their calls are there as JSON and as gRPC-web; /openapi.json describes them. Ctrl-C or SIGTERM ends the calls that are open, flushes the banks and exits; a second one exits at once. The log goes to standard error; SIMBERT_LOG sets its
/// level (error, warn, info, debug, trace).
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert serve\n  simbert serve --listen 127.0.0.1:0 --port-file port.txt\n  \
    grpcurl -plaintext 127.0.0.1:50051 list\n  simbert serve --http\n  \
    curl http://127.0.0.1:8080/v1/banks")]
pub struct Serve {
    /// Address and port; port 0 takes a free one. Connections are neither encrypted nor authenticated.
    #[arg(long, value_name = "IP:PORT", env = "SIMBERT_LISTEN", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// Write the actual port into this file once the server listens.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Address and port for HTTP; port 0 takes a free one. Connections are neither encrypted nor authenticated.
    #[arg(long, value_name = "IP:PORT", env = "SIMBERT_HTTP", num_args = 0..=1,
        default_missing_value = "127.0.0.1:8080")]
    http: Option<SocketAddr>,
    /// Write the actual port for HTTP into this file once the server listens.
    #[arg(long, value_name = "FILE", env = "SIMBERT_HTTP_PORT_FILE", requires = "http")]
    http_port_file: Option<PathBuf>,
    /// Origin whose pages may read what the HTTP port answers, such as https://example.org; `*` for all. Can be repeated.
    #[arg(long = "cors-origin", value_name = "ORIGIN", env = "SIMBERT_CORS_ORIGIN", value_delimiter = ',')]
    cors_origins: Vec<String>,
    /// Connections of each port that may be open at once; who comes then waits.
    #[arg(long, value_name = "N", env = "SIMBERT_MAX_CONNECTIONS",
        default_value_t = ServerOptions::default().max_connections, value_parser = value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Seconds that a peer may take over the headers of a request.
    #[arg(long, value_name = "SECONDS", env = "SIMBERT_HEADER_TIMEOUT",
        default_value_t = ServerOptions::default().header_timeout.as_secs(), value_parser = value_parser!(u64).range(1..=3600))]
    header_timeout: u64,
    /// Seconds that a connection without any call is kept.
    #[arg(long, value_name = "SECONDS", env = "SIMBERT_IDLE_TIMEOUT",
        default_value_t = ServerOptions::default().idle_timeout.as_secs(), value_parser = value_parser!(u64).range(1..=86_400))]
    idle_timeout: u64,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Calls that run at once and share the encoder's batches; eight for each core when absent.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096))]
    max_concurrent: Option<u32>,
    /// Calls that may wait for their turn; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_waiting,
        value_parser = value_parser!(u32).range(..=1_000_000))]
    max_waiting: u32,
    /// MiB for vectors of texts that were asked for lately; 0 keeps none.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = value_parser!(u32).range(..=65_536))]
    cache_mib: u32,
    /// Largest message in and out, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = value_parser!(u32).range(1..=1024))]
    max_message: u32,
    /// Open every bank before saying to be ready, rather than when it is first used.
    #[arg(long, env = "SIMBERT_OPEN_BANKS")]
    open_banks: bool,
    /// Milliseconds from when on a call is slow; the log has a line for each slow call.
    #[arg(long, value_name = "MS", env = "SIMBERT_SLOW_CALL",
        default_value_t = ServerOptions::default().slow_call.as_millis() as u64)]
    slow_call: u64,
    /// How lines of the log are written.
    #[arg(long, value_name = "FORMAT", env = "SIMBERT_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Send traces to this collector, by OTLP over gRPC: http://host:port.
    #[arg(long, value_name = "URL", env = "SIMBERT_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// The share of traces that begin here and are sent, 0 to 1.
    #[arg(long, value_name = "SHARE", env = "SIMBERT_TRACE_RATIO", default_value_t = 1.0)]
    trace_ratio: f64,
    /// Seconds that open calls have when the server shuts down.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerOptions::default().grace.as_secs())]
    grace: u64,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = runtime()?;
        let traces = {
            let _connections = runtime.enter();
            self.traces()?
        };
        start_log_as("info", self.log_format, traces.as_ref());
        for listen in [Some(self.listen), self.http].into_iter().flatten().filter(|listen| !listen.ip().is_loopback()) {
            tracing::warn!(%listen, "connections are neither encrypted nor authenticated, and this \
                address can be reached from other machines; put a proxy with TLS in front of it");
        }
        let started = Instant::now();
        let engine = open_engine(&self.model, &self.data.data, self.cache_mib)?;
        println!("simbert {}", env!("CARGO_PKG_VERSION"));
        println!(
            "model      {} · {} · {} wide · ready after {:.1} s",
            self.model.model.display(),
            engine.fingerprint(),
            engine.dimension(),
            started.elapsed().as_secs_f64()
        );
        if let Some(calibration) = engine.calibration() {
            let (pairs, files) = (calibration.fitted.pairs, calibration.fitted.files.join(", "));
            println!("calibrated on {pairs} pairs of {files}");
        }
        println!("data       {}", self.data.data.display());
        let served = runtime.block_on(self.serve(engine));
        if let Some(traces) = traces {
            traces.end();
        }
        served
    }

    /// The sending of traces, if they are to be sent.
    fn traces(&self) -> anyhow::Result<Option<Traces>> {
        let Some(endpoint) = self.otlp_endpoint.clone() else { return Ok(None) };
        Ok(Some(Traces::start(&TraceOptions { endpoint, ratio: self.trace_ratio })?))
    }

    async fn serve(self, engine: Engine) -> anyhow::Result<()> {
        let default = ServerOptions::default();
        let options = ServerOptions {
            listen: self.listen,
            http: self.http,
            cors_origins: self.cors_origins,
            max_connections: self.max_connections,
            header_timeout: Duration::from_secs(self.header_timeout),
            idle_timeout: Duration::from_secs(self.idle_timeout),
            max_concurrent: self.max_concurrent.unwrap_or(default.max_concurrent),
            max_waiting: self.max_waiting,
            max_message_bytes: (self.max_message as usize) << 20,
            open_banks: self.open_banks,
            slow_call: Duration::from_millis(self.slow_call),
            grace: Duration::from_secs(self.grace),
            ..default
        };
        let server = Server::bind(engine, options).await?;
        let stop = stop_signal()?;
        println!("listening  {} · gRPC with reflection and health · Ctrl-C stops", server.address());
        if let Some(address) = server.http_address() {
            println!("http       http://{address} · console, JSON and gRPC-web · /openapi.json says what there is");
        }
        write_port(self.port_file.as_deref(), Some(server.address()))?;
        write_port(self.http_port_file.as_deref(), server.http_address())?;
        server.run(stop).await?;
        println!("stopped    the banks are flushed");
        Ok(())
    }
}

/// Writes the port of an address into a file, where there are both.
fn write_port(file: Option<&Path>, address: Option<SocketAddr>) -> anyhow::Result<()> {
    let (Some(file), Some(address)) = (file, address) else { return Ok(()) };
    std::fs::write(file, format!("{}\n", address.port()))
        .with_context(|| format!("cannot write the port to {}", file.display()))
}

/// An engine over the model and the folder of banks, with so much memory for vectors of late texts.
pub(super) fn open_engine(model: &ModelArgs, data: &std::path::Path, cache_mib: u32) -> anyhow::Result<Engine> {
    Ok(Engine::open(EngineOptions {
        data: data.to_owned(),
        model: model.directory()?.root().to_owned(),
        arithmetic: model.arithmetic(),
        onnxruntime: model.onnxruntime.clone(),
        threads: model.threads,
        cache_bytes: (cache_mib as usize) << 20,
    })?)
}

/// The runtime that carries the connections.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// Completes at the first Ctrl-C or SIGTERM; the second ends the process at once, with 130.
///
/// The handlers are in place when this returns, so that no signal is missed.
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let (first, stopped) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match first.take() {
                Some(first) => _ = first.send(()), // nobody waits for it once the server has ended
                None => std::process::exit(130),
            }
        }
    });
    Ok(async { _ = stopped.await })
}
