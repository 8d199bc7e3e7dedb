//! `simbert serve`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, value_parser};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::config::Settings;
use super::{DataArgs, ModelArgs};
use crate::Error;
use crate::engine::{Engine, EngineOptions};
use crate::server::{Renewal, Server, ServerOptions, TlsFiles};

/// Serve banks over gRPC.
///
/// The services are in `proto/simbert/v1`; reflection and health are on. Ctrl-C or SIGTERM ends the calls that are
/// open, flushes the banks and exits; a second one exits at once. The log goes to standard error.
///
/// Every setting may also stand in the environment, under the name that is shown with it, or in a TOML file, by the
/// flag's name with `_` for `-`: `max_waiting = 100`. A flag counts before the environment, that before the file, that
/// before the default. Paths are relative to the folder that the server is started in, wherever they stand.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert serve\n  simbert serve --listen 127.0.0.1:0 --port-file port.txt\n  \
    simbert serve --print-config > simbert.toml\n  \
    grpcurl -plaintext 127.0.0.1:50051 list")]
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
    /// What goes into the log: error, warn, info, debug or trace, or a list such as `info,simbert::server=debug`.
    #[arg(long, value_name = "LEVEL", env = LOG_VARIABLE, default_value = "info", value_parser = log_filter)]
    log: String,
    #[command(flatten, next_help_heading = "Access")]
    access: AccessArgs,
    #[command(flatten, next_help_heading = "Model and banks")]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitArgs,
}

/// Who gets in.
#[derive(Args)]
struct AccessArgs {
    /// Encrypt every connection: the server's certificate as PEM, followed by those that lead to its authority. Read
    /// again on SIGHUP, with its key, for connections that come after.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, as PEM, not encrypted.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Certificates of authorities, as PEM: only callers who have a certificate of theirs get a connection.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Serve without TLS on an address that other machines reach. API keys, and what is asked and answered, can then be read
    /// on the way, unless something else encrypts it.
    #[arg(long)]
    allow_plaintext: bool,
    /// Serve only who has an API key of this file, which `simbert keys` makes: calls send `authorization: Bearer KEY`.
    /// Health and reflection answer without. Read again on SIGHUP, for calls that come after; a file that is bad by then
    /// leaves the keys of before.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

impl AccessArgs {
    fn tls(&self) -> crate::Result<Option<TlsFiles>> {
        let (key, client_ca) = (self.tls_key.clone(), self.client_ca.clone());
        match (self.tls_cert.clone(), key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, client_ca })),
            (Some(_), None) => Err(Error::invalid("TLS", "a private key (`--tls-key`)", "a certificate alone")),
            (None, Some(_)) => Err(Error::invalid("TLS", "a certificate (`--tls-cert`)", "a private key alone")),
            (None, None) if client_ca.is_some() => {
                let expected = "the server's own certificate and key (`--tls-cert`, `--tls-key`)";
                Err(Error::invalid("TLS", expected, "the authorities of callers (`--client-ca`) alone"))
            }
            (None, None) => Ok(None),
        }
    }
}

/// How much is served at once.
#[derive(Args)]
struct LimitArgs {
    /// Calls that run at once and share the encoder's batches; eight for each core when absent.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096))]
    max_concurrent: Option<u32>,
    /// Calls that may wait for their turn; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_waiting,
        value_parser = value_parser!(u32).range(..=1_000_000))]
    max_waiting: u32,
    /// Streams of questions, in or out, that may be open at once; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_streams,
        value_parser = value_parser!(u32).range(1..=65_536))]
    max_streams: u32,
    /// Snapshots that may be taken, sent, received and restored at once; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_transfers,
        value_parser = value_parser!(u32).range(1..=1024))]
    max_transfers: u32,
    /// Questions of a bulk stream that are encoded and committed at once.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().bulk_batch as u32,
        value_parser = value_parser!(u32).range(1..=65_536))]
    bulk_batch: u32,
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
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        if self.print_config {
            print!("{settings}");
            return Ok(());
        }
        start_log(&self.log);
        let options = self.options()?;
        options.validate()?; // before the model is loaded
        let started = Instant::now();
        let engine = open_engine(&self.model, &self.data.data, self.limits.cache_mib)?;
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
        if let Some(file) = &self.config {
            println!("settings   {}", file.display());
        }
        runtime()?.block_on(self.serve(engine, options))
    }

    fn options(&self) -> crate::Result<ServerOptions> {
        let (limits, default) = (&self.limits, ServerOptions::default());
        Ok(ServerOptions {
            listen: self.listen,
            tls: self.access.tls()?,
            allow_plaintext: self.access.allow_plaintext,
            keys: self.access.keys.clone(),
            max_concurrent: limits.max_concurrent.unwrap_or(default.max_concurrent),
            max_waiting: limits.max_waiting,
            max_streams: limits.max_streams,
            max_transfers: limits.max_transfers,
            bulk_batch: limits.bulk_batch as usize,
            max_message_bytes: (limits.max_message as usize) << 20,
            grace: Duration::from_secs(limits.grace),
        })
    }

    async fn serve(self, engine: Engine, options: ServerOptions) -> anyhow::Result<()> {
        let access = access(&options);
        let everybody = options.keys.is_none() && options.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none());
        let server = Server::bind(engine, options).await?;
        let stop = stop_signal()?;
        renew_on_hangup(server.renewal())?;
        println!("access     {access}");
        if everybody && !server.address().ip().to_canonical().is_loopback() {
            tracing::warn!(listen = %server.address(), "whoever reaches this address may read and delete everything: \
                there are neither `--keys` nor a `--client-ca`");
        }
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

/// Who gets in, in a few words.
fn access(options: &ServerOptions) -> String {
    let tls = match &options.tls {
        None => "plain text",
        Some(TlsFiles { client_ca: None, .. }) => "TLS",
        Some(TlsFiles { client_ca: Some(_), .. }) => "TLS with certificates of callers",
    };
    format!("{tls} · {}", if options.keys.is_some() { "API keys" } else { "no API keys" })
}

/// What the log's filter is set by.
pub(super) const LOG_VARIABLE: &str = "SIMBERT_LOG";

/// A filter that holds.
fn log_filter(text: &str) -> Result<String, ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}

/// Sends the log to standard error, as far as the filter lets it.
pub(super) fn start_log(filter: &str) {
    let filter = EnvFilter::new(filter);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails when there is a log already, which is as good.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
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

/// Reads certificates and keys again at each SIGHUP. Without any the signal does what it always does: it ends the process.
fn renew_on_hangup(renewal: Renewal) -> anyhow::Result<()> {
    if renewal.is_idle() {
        return Ok(());
    }
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let renewal = renewal.clone();
            let _ = tokio::task::spawn_blocking(move || renewal.run()).await; // it says in the log how it went
        }
    });
    Ok(())
}
