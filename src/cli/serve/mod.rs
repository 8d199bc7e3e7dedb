//! `simbert serve`.

mod access;
mod http;
mod limits;
mod signals;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use self::access::AccessArgs;
use self::http::HttpArgs;
use self::limits::LimitArgs;
use self::signals::renew_on_hangup;
pub(super) use self::signals::stop_signal;
use super::config::Settings;
use super::log::LogArgs;
use super::{DataArgs, ModelArgs};
use crate::allocator;
use crate::cli::say::note;
use crate::engine::{Engine, EngineOptions};
use crate::server::{Server, ServerOptions, TlsFiles};

/// One thread carries the calls of so many that compute: it is busy for less than a tenth of the time that they take.
const THREADS_PER_WORKER: usize = 4;
/// Two, so that a large message that is read holds up nobody else.
const LEAST_WORKERS: usize = 2;

/// Serve banks over gRPC, and over HTTP if asked to.
///
/// The services are in `proto/simbert/v1`; reflection and health are on. With --http, a console page is at / of that
/// port, and their calls are there as JSON and as gRPC-web; /openapi.json describes them. Ctrl-C or SIGTERM ends the calls that are open, flushes the banks
/// and exits; a second one exits at once. The log goes to standard error.
///
/// Every setting may also stand in the environment, under the name that is shown with it, or in a TOML file, by the
/// flag's name with `_` for `-`: `max_waiting = 100`. A flag counts before the environment, that before the file, that
/// before the default. Paths are relative to the folder that the server is started in, wherever they stand.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  simbert serve --int8 --http\n  simbert serve --listen 127.0.0.1:0 --port-file port.txt\n  \
    simbert serve --print-config > settings.toml\n  \
    grpcurl -plaintext 127.0.0.1:50051 list\n  curl http://127.0.0.1:8080/v1/banks"
)]
pub struct Serve {
    /// A TOML file of settings; `simbert.toml` in the working folder when absent, if there is one.
    #[arg(long, value_name = "FILE", env = "SIMBERT_CONFIG")]
    config: Option<PathBuf>,
    /// Print the settings as a file for `--config`, each with what it came from, and exit. Nothing secret is printed.
    #[arg(long)]
    print_config: bool,
    /// Address and port; port 0 takes a free one. One that other machines reach wants TLS, or `--allow-plaintext`.
    #[arg(long, value_name = "IP:PORT", env = "SIMBERT_LISTEN", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// Write the actual port into this file once the server listens.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    #[command(flatten, next_help_heading = "HTTP")]
    http: HttpArgs,
    #[command(flatten, next_help_heading = "Log and traces")]
    log: LogArgs,
    #[command(flatten, next_help_heading = "Access")]
    access: AccessArgs,
    #[command(flatten, next_help_heading = "Model and banks")]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Open every bank before saying to be ready, rather than when it is first used.
    #[arg(long)]
    open_banks: bool,
    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitArgs,
}

impl Serve {
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        if self.print_config {
            return Ok(write!(std::io::stdout(), "{settings}")?);
        }
        allocator::return_freed();
        let runtime = runtime(self.model.threads())?;
        let traces = {
            let _connections = runtime.enter();
            self.log.start()?
        };
        self.limits.raise_open_files();
        let options = self.options()?;
        options.validate()?; // before the model is loaded
        let started = Instant::now();
        let engine = open_engine(&self.model, &self.data.data, self.limits.cache_mib)?;
        note!("simbert {}", env!("CARGO_PKG_VERSION"));
        note!(
            "model      {} · {} · {} wide · ready after {:.1} s",
            self.model.model.display(),
            engine.fingerprint(),
            engine.dimension(),
            started.elapsed().as_secs_f64()
        );
        if let Some(calibration) = engine.calibration() {
            let (pairs, files) = (calibration.fitted.pairs, calibration.fitted.files.join(", "));
            note!("calibrated on {pairs} pairs of {files}");
        }
        note!("data       {}", self.data.data.display());
        if let Some(file) = &self.config {
            note!("settings   {}", file.display());
        }
        let served = runtime.block_on(self.serve(engine, options));
        if let Some(traces) = traces {
            traces.end();
        }
        served
    }

    fn options(&self) -> crate::Result<ServerOptions> {
        Ok(self.limits.applied(ServerOptions {
            listen: self.listen,
            tls: self.access.tls()?,
            allow_plaintext: self.access.allow_plaintext,
            keys: self.access.keys.clone(),
            http: self.http.http,
            cors_origins: self.http.cors_origins.clone(),
            open_banks: self.open_banks,
            slow_call: self.log.slow_call(),
            ..ServerOptions::default()
        }))
    }

    async fn serve(self, engine: Engine, options: ServerOptions) -> anyhow::Result<()> {
        let (access, encrypted) = (access(&options), options.tls.is_some());
        let everybody = options.keys.is_none() && options.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none());
        let server = Server::bind(engine, options).await?;
        let stop = stop_signal()?;
        renew_on_hangup(server.renewal())?;
        note!("access     {access}");
        let open = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        for listen in [Some(server.address()), server.http_address()].into_iter().flatten().filter(open) {
            if everybody {
                tracing::warn!(%listen, "whoever reaches this address may read and delete everything: there are neither \
                    `--keys` nor a `--client-ca`");
            }
        }
        note!("listening  {} · gRPC with reflection and health · Ctrl-C stops", server.address());
        if let Some(address) = server.http_address() {
            let scheme = if encrypted { "https" } else { "http" };
            note!("http       {scheme}://{address} · console, JSON and gRPC-web · /openapi.json says what there is");
        }
        write_port(self.port_file.as_deref(), Some(server.address()))?;
        write_port(self.http.http_port_file.as_deref(), server.http_address())?;
        server.run(stop).await?;
        note!("stopped    the banks are flushed");
        Ok(())
    }
}

/// Who gets in, in a few words.
fn access(options: &ServerOptions) -> String {
    let tls = match &options.tls {
        None => "plain text",
        Some(TlsFiles { client_ca: None, .. }) => "TLS",
        Some(TlsFiles { client_ca: Some(_), .. }) => "TLS with certificates of callers",
    };
    format!("{tls} · {}", if options.keys.is_some() { "API keys" } else { "no API keys" })
}

/// Writes the port of an address into a file, where there are both.
fn write_port(file: Option<&Path>, address: Option<SocketAddr>) -> anyhow::Result<()> {
    let (Some(file), Some(address)) = (file, address) else { return Ok(()) };
    std::fs::write(file, format!("{}\n", address.port()))
        .with_context(|| format!("cannot write the port to {}", file.display()))
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
