//! The server: binds, serves, and shuts down without losing an acknowledged write.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::access::{Access, Admission};
use super::bank::Banks;
use super::calls::Calls;
use super::connection::Protocol;
use super::context::Context;
use super::embedding::Embedding;
use super::metrics::CallNames;
use super::paraphrase::Paraphrases;
use super::port::Port;
use super::proto::bank_service_server::BankServiceServer;
use super::proto::embedding_service_server::EmbeddingServiceServer;
use super::proto::paraphrase_service_server::ParaphraseServiceServer;
use super::proto::question_service_server::QuestionServiceServer;
use super::proto::search_service_server::SearchServiceServer;
use super::question::Questions;
use super::receiving::{OPEN, Receiving};
use super::search::Search;
use super::tls::Tls;
use super::{ServerOptions, http, proto};
use crate::engine::Engine;
use crate::{Error, Result};

/// Every service that has a health of its own, and the server as a whole (the empty name).
const HEALTH: [&str; 6] = [
    "",
    BankServiceServer::<Banks>::NAME,
    EmbeddingServiceServer::<Embedding>::NAME,
    ParaphraseServiceServer::<Paraphrases>::NAME,
    QuestionServiceServer::<Questions>::NAME,
    SearchServiceServer::<Search>::NAME,
];

/// A server that listens but does not answer yet; [`Server::run`] does.
pub struct Server {
    grpc: Port,
    http: Option<Port>,
    tls: Option<Tls>,
    access: Access,
    context: Context,
}

/// Reads again what a server was given as files. It outlives the server without holding it up.
#[derive(Clone)]
pub struct Renewal {
    tls: Option<Tls>,
    access: Access,
}

impl Renewal {
    /// Whether there is anything to read.
    pub fn is_idle(&self) -> bool {
        self.tls.is_none() && !self.access.is_by_keys()
    }

    /// Reads the files, and says in the log how it went. Of one that is bad, what was read before stays. Blocks.
    pub fn run(&self) {
        if self.is_idle() {
            tracing::info!("there are neither certificates nor API keys to read again");
        }
        if let Some(tls) = &self.tls {
            match tls.read_again() {
                Ok(()) => tracing::info!("the certificates were read again; new connections get them"),
                Err(error) => tracing::error!(%error, "the certificates stay as they were"),
            }
        }
        if self.access.is_by_keys() {
            match self.access.read_again() {
                Ok(keys) => tracing::info!(keys, "the API keys were read again; new calls are held against them"),
                Err(error) => tracing::error!(%error, "the API keys stay as they were"),
            }
        }
    }
}

impl Server {
    /// Takes the addresses of `options`.
    ///
    /// # Errors
    /// An option is out of range, a file that it names is bad, or an address cannot be taken.
    pub async fn bind(engine: Engine, options: ServerOptions) -> Result<Self> {
        options.validate()?;
        let tls = options.tls.clone().map(Tls::read).transpose()?; // both ports take the same
        let access = Access::read(options.keys.clone())?;
        let grpc = Port::bind(options.listen, Protocol::Grpc)?.with_tls(tls.clone());
        let http = match options.http {
            Some(address) => Some(Port::bind(address, Protocol::Http)?.with_tls(tls.clone())),
            None => None,
        };
        Ok(Self { grpc, http, tls, access, context: Context::new(engine, options) })
    }

    /// Where the server listens for gRPC, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.grpc.address()
    }

    /// Where it listens for HTTP, if it does.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Port::address)
    }

    /// What reads certificates and keys again.
    pub fn renewal(&self) -> Renewal {
        Renewal { tls: self.tls.clone(), access: self.access.clone() }
    }

    /// Answers calls until `shutdown` completes. Then health says NOT_SERVING, no new connection is taken, bulk
    /// streams end after the batch they are at, snapshots that are on their way are given up, other calls have the
    /// grace period to end, and the banks are flushed.
    ///
    /// # Errors
    /// A bank cannot be flushed.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
        let Self { grpc, http, access, context, .. } = self;
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::NotServing).await;
        let calls = Calls {
            routes: Admission {
                access: access.clone(),
                routes: Receiving::new(
                    routes(&context)?.add_service(health_service.max_decoding_message_size(OPEN)).prepare(),
                    context.options.max_received_bytes,
                    context.options.max_message_bytes,
                )?,
            },
            names: CallNames::new()?,
            metrics: Arc::clone(&context.metrics),
            slow: context.options.slow_call,
            pause: context.options.header_timeout,
            idle: context.options.stream_idle,
        };
        let stopping = &context.stopping;
        let router = http::router(&calls, &context, &access)?;
        let http = async {
            if let Some(port) = http {
                port.serve(router, &context).await;
            }
        };
        let opening = async {
            if context.options.open_banks {
                context.open_banks().await;
            }
            if !stopping.is_cancelled() {
                context.opened.cancel();
                set_health(&health, ServingStatus::Serving).await;
            }
        };
        let serving = async { tokio::join!(grpc.serve(calls, &context), http, opening) };
        let wind_down = async {
            shutdown.await;
            tracing::info!("shutting down");
            set_health(&health, ServingStatus::NotServing).await;
            stopping.cancel();
            tokio::join!(end_watches(&context, health.clone()), tokio::time::sleep(context.options.grace));
        };
        tokio::select! {
            _ = serving => {}
            () = wind_down => {
                tracing::warn!(grace = ?context.options.grace, "calls were still open at the end of the grace period");
            }
        }
        context.close().await
    }
}

/// A health watch has no end of its own, and would hold the connection open for the whole grace period.
async fn end_watches(context: &Context, mut health: HealthReporter) {
    context.idle().await;
    for name in HEALTH {
        health.clear_service_status(name).await;
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in HEALTH {
        health.set_service_status(name, status).await;
    }
}

/// All services, with their message limits.
fn routes(context: &Context) -> Result<Routes> {
    let bytes = context.options.max_message_bytes;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Error::Internal(format!("the service descriptors are damaged: {e}")))?;
    macro_rules! limited {
        ($server:ident, $service:ident) => {
            $server::new($service(context.clone())).max_decoding_message_size(bytes).max_encoding_message_size(bytes)
        };
    }
    Ok(Routes::new(reflection.max_decoding_message_size(OPEN))
        .add_service(limited!(BankServiceServer, Banks))
        .add_service(limited!(EmbeddingServiceServer, Embedding))
        .add_service(limited!(ParaphraseServiceServer, Paraphrases))
        .add_service(limited!(QuestionServiceServer, Questions))
        .add_service(limited!(SearchServiceServer, Search)))
}
