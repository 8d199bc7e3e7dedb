//! `simbert serve`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, value_parser};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{DataArgs, ModelArgs};
use crate::engine::{Engine, EngineOptions};
use crate::server::{Server, ServerOptions};

/// One thread carries the calls of so many that compute: it is busy for less than a tenth of the time that they take.
const THREADS_PER_WORKER: usize = 4;
/// Two, so that a large message that is read holds up nobody else.
const LEAST_WORKERS: usize = 2;

/// Serve banks over gRPC.
///
/// The services are in `proto/simbert/v1`; reflection and health are on. Ctrl-C or SIGTERM ends the calls that are
/// open, flushes the banks and exits; a second one exits at once. The log goes to standard error; SIMBERT_LOG sets its
/// level (error, warn, info, debug, trace).
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert serve\n  simbert serve --listen 127.0.0.1:0 --port-file port.txt\n  \
    grpcurl -plaintext 127.0.0.1:50051 list")]
pub struct Serve {
    /// Address and port; port 0 takes a free one. Connections are neither encrypted nor authenticated.
    #[arg(long, value_name = "IP:PORT", env = "SIMBERT_LISTEN", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// Write the actual port into this file once the server listens.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Calls that run at once and share the encoder's batches; sixteen for each core when absent.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096))]
    max_concurrent: Option<u32>,
    /// Calls that may wait for their turn; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_waiting,
        value_parser = value_parser!(u32).range(..=1_000_000))]
    max_waiting: u32,
    /// Milliseconds that a call may wait for its turn until it is turned away.
    #[arg(long, value_name = "MS", default_value_t = ServerOptions::default().max_wait.as_millis() as u64,
        value_parser = value_parser!(u64).range(1..=600_000))]
    max_wait: u64,
    /// MiB for vectors of texts that were asked for lately; 0 keeps none.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = value_parser!(u32).range(..=65_536))]
    cache_mib: u32,
    /// Largest message in and out, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = value_parser!(u32).range(1..=1024))]
    max_message: u32,
    /// Seconds that open calls have when the server shuts down.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerOptions::default().grace.as_secs())]
    grace: u64,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        start_log("info");
        if !self.listen.ip().is_loopback() {
            tracing::warn!(listen = %self.listen, "connections are neither encrypted nor authenticated, and this \
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
        runtime(self.model.threads())?.block_on(self.serve(engine))
    }

    async fn serve(self, engine: Engine) -> anyhow::Result<()> {
        let default = ServerOptions::default();
        let options = ServerOptions {
            listen: self.listen,
            max_concurrent: self.max_concurrent.unwrap_or(default.max_concurrent),
            max_waiting: self.max_waiting,
            max_wait: Duration::from_millis(self.max_wait),
            max_message_bytes: (self.max_message as usize) << 20,
            grace: Duration::from_secs(self.grace),
            ..default
        };
        let server = Server::bind(engine, options).await?;
        let stop = stop_signal()?;
        println!("listening  {} · gRPC with reflection and health · Ctrl-C stops", server.address());
        if let Some(file) = &self.port_file {
            std::fs::write(file, format!("{}\n", server.address().port()))
                .with_context(|| format!("cannot write the port to {}", file.display()))?;
        }
        server.run(stop).await?;
        println!("stopped    the banks are flushed");
        Ok(())
    }
}

/// Sends the log to standard error, at `level` unless `SIMBERT_LOG` names another.
pub(super) fn start_log(level: &str) {
    let filter = EnvFilter::try_from_env("SIMBERT_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails when there is a log already, which is as good.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
}

/// An engine over the model and the folder of banks, with so much memory for vectors of late texts.
pub(super) fn open_engine(model: &ModelArgs, data: &std::path::Path, cache_mib: u32) -> anyhow::Result<Engine> {
    model.limit_threads();
    Ok(Engine::open(EngineOptions {
        data: data.to_owned(),
        model: model.directory()?.root().to_owned(),
        arithmetic: model.arithmetic(),
        onnxruntime: model.onnxruntime.clone(),
        threads: model.threads,
        cache_bytes: (cache_mib as usize) << 20,
    })?)
}

/// The runtime that carries the connections beside so many threads that compute.
pub(super) fn runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    let workers = threads.div_ceil(THREADS_PER_WORKER).max(LEAST_WORKERS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    runtime.context("cannot start the runtime")
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
