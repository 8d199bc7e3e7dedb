//! The server: binds, serves, and shuts down without losing an acknowledged write.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::bank::Banks;
use super::calls::Calls;
use super::context::Context;
use super::embedding::Embedding;
use super::paraphrase::Paraphrases;
use super::proto::bank_service_server::BankServiceServer;
use super::proto::embedding_service_server::EmbeddingServiceServer;
use super::proto::paraphrase_service_server::ParaphraseServiceServer;
use super::proto::question_service_server::QuestionServiceServer;
use super::proto::search_service_server::SearchServiceServer;
use super::question::Questions;
use super::search::Search;
use super::{ServerOptions, proto};
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

/// Streams of one connection; a client that wants more waits.
const STREAMS_PER_CONNECTION: u32 = 1024;
/// A peer that is silent this long is asked for a sign of life.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A server that listens but does not answer yet; [`Server::run`] does.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    context: Context,
}

impl Server {
    /// Takes the address of `options`.
    ///
    /// # Errors
    /// An option is out of range, or the address cannot be taken.
    pub async fn bind(engine: Engine, options: ServerOptions) -> Result<Self> {
        options.validate()?;
        let unavailable = |e: std::io::Error| Error::Unavailable {
            what: format!("address {}", options.listen),
            reason: format!("{e}; stop what listens there, or choose another address"),
        };
        let listener = TcpListener::bind(options.listen).await.map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        Ok(Self { listener, address, context: Context::new(engine, options) })
    }

    /// Where the server listens, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers calls until `shutdown` completes. Then health says NOT_SERVING, no new connection is taken, bulk
    /// streams end after the batch they are at, snapshots that are on their way are given up, other calls have the grace period to end, and the banks are flushed.
    ///
    /// # Errors
    /// The listener fails, or a bank cannot be flushed.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
        let Self { listener, context, .. } = self;
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::Serving).await;
        let routes = routes(&context)?.add_service(health_service);
        let stopping = context.stopping.clone();
        let signal = async {
            shutdown.await;
            tracing::info!("shutting down");
            set_health(&health, ServingStatus::NotServing).await;
            stopping.cancel();
        };
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let mut serving = pin!(
            tonic::transport::Server::builder()
                .max_concurrent_streams(STREAMS_PER_CONNECTION)
                .http2_keepalive_interval(Some(KEEPALIVE))
                .serve_with_incoming_shutdown(Calls(routes.prepare()), incoming, signal)
        );
        let grace = context.options.grace;
        let wind_down = async {
            stopping.cancelled().await;
            tokio::join!(end_watches(&context, health.clone()), tokio::time::sleep(grace));
        };
        tokio::select! {
            result = &mut serving => result.map_err(|e| Error::Internal(format!("the gRPC server failed: {e}")))?,
            () = wind_down => tracing::warn!(?grace, "calls were still open at the end of the grace period"),
        }
        close(context).await
    }
}

/// A health watch has no end of its own, and would hold the connection open for the whole grace period.
async fn end_watches(context: &Context, mut health: HealthReporter) {
    context.idle().await;
    for name in HEALTH {
        health.clear_service_status(name).await;
    }
}

/// Flushes the banks when the last work is done.
async fn close(context: Context) -> Result<()> {
    tokio::join!(context.idle(), context.copying.idle());
    let engine = context.engine;
    tokio::task::spawn_blocking(move || engine.close())
        .await
        .map_err(|e| Error::Internal(format!("flushing the banks panicked: {e}")))?
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
    Ok(Routes::new(reflection)
        .add_service(limited!(BankServiceServer, Banks))
        .add_service(limited!(EmbeddingServiceServer, Embedding))
        .add_service(limited!(ParaphraseServiceServer, Paraphrases))
        .add_service(limited!(QuestionServiceServer, Questions))
        .add_service(limited!(SearchServiceServer, Search)))
}
