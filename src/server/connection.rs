//! The life of one connection: who does not begin, or leaves it unused, loses it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::InspectReader;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Extensions, Request, Response};
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};

use super::ServerOptions;
use super::activity::{Activity, End, Open, Patience};
use super::pause::PAUSES;
use super::unread::{Sending, Unread};

/// Streams of one HTTP/2 connection that may fail by the client's fault before it is told to calm down. Source:
/// RUSTSEC-2024-0003.
const FAULTY_STREAMS: usize = 256;
/// Streams of one HTTP/2 connection that may be opened and reset before the server has looked at them. Source:
/// CVE-2023-44487.
const RESET_STREAMS: usize = 20;
/// A peer that is silent this long is asked for a sign of life, and has as long again to give one.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Bytes of the headers of one HTTP/2 request.
const HEADER_BYTES: u32 = 16 << 10;
/// Bytes that an HTTP/1 connection buffers; its request line and headers must fit.
const BUFFER_BYTES: usize = 64 << 10;
/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/2 alone.
    Grpc,
    /// HTTP/1.1 and HTTP/2.
    Http,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// A service that answers every request, and the body of its answers.
pub(super) trait Serves:
    Service<
        Request<Body>,
        Response = Response<Self::Answer>,
        Error = Infallible,
        Future: Future<Output = Result<Response<Self::Answer>, Infallible>> + Send + 'static,
    > + Clone
    + Send
    + 'static
{
    type Answer: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> Serves for S
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Answer = B;
}

/// How connections of one port are served. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    builder: Arc<Builder<TokioExecutor>>,
    header_timeout: Duration,
    idle_timeout: Duration,
    stopping: CancellationToken,
}

impl Connection {
    pub fn new(protocol: Protocol, options: &ServerOptions, stopping: CancellationToken) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        if protocol == Protocol::Grpc {
            builder = builder.http2_only();
        }
        let ServerOptions { header_timeout, idle_timeout, .. } = *options;
        let mut http1 = builder.http1();
        http1.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(BUFFER_BYTES);
        let mut http2 = builder.http2();
        http2.timer(TokioTimer::new()).keep_alive_interval(KEEPALIVE).keep_alive_timeout(KEEPALIVE);
        http2.max_concurrent_streams(options.max_connection_calls).max_header_list_size(HEADER_BYTES);
        http2.max_pending_accept_reset_streams(RESET_STREAMS).max_local_error_reset_streams(FAULTY_STREAMS);
        Self { builder: Arc::new(builder), header_timeout, idle_timeout, stopping }
    }

    /// How long a peer may take to begin.
    pub fn patience(&self) -> Duration {
        self.header_timeout
    }

    /// Completes when the server begins to shut down.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Serves the connection until either side ends it.
    pub async fn serve<I>(self, io: I, service: impl Serves)
    where
        I: AsyncRead + AsyncWrite + Connected<ConnectInfo: Introduces> + Send + Unpin + 'static,
    {
        let mut introduction = Extensions::new();
        io.connect_info().introduce(&mut introduction);
        let activity = Arc::new(Activity::default());
        let heard = Arc::clone(&activity);
        let io = InspectReader::new(io, move |bytes| heard.hear(bytes.len()));
        let reading = self.header_timeout * PAUSES;
        let patience = Patience { begin: self.header_timeout, idle: self.idle_timeout, reading };
        let service = PerConnection { service, introduction, activity: Arc::clone(&activity), reading };
        let serving = self.builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
        let mut serving = pin!(serving);
        let mut unused = pin!(activity.ends(patience));
        let mut stopping = pin!(self.stopping.cancelled());
        let mut told = false;
        loop {
            tokio::select! {
                result = &mut serving => {
                    return if let Err(error) = result { tracing::debug!(%error, "a connection broke") };
                }
                end = &mut unused => match end {
                    End::NeverBegan => return tracing::debug!("a peer took too long to begin"),
                    End::Unread => return tracing::debug!("a peer took too long over reading a reply"),
                    End::Idle if told => return,
                    End::Idle => {
                        serving.as_mut().graceful_shutdown();
                        told = true;
                        let last = Patience { begin: Duration::ZERO, idle: self.header_timeout, reading };
                        unused.set(activity.ends(last));
                    }
                },
                () = &mut stopping, if !told => {
                    serving.as_mut().graceful_shutdown();
                    told = true;
                }
            }
        }
    }
}

/// Tells each request whom it comes from.
pub(super) trait Introduces {
    fn introduce(self, extensions: &mut Extensions);
}

impl Introduces for TcpConnectInfo {
    fn introduce(self, extensions: &mut Extensions) {
        extensions.insert(self);
    }
}

impl Introduces for TlsConnectInfo<TcpConnectInfo> {
    fn introduce(self, extensions: &mut Extensions) {
        extensions.insert(self.get_ref().clone());
        extensions.insert(self);
    }
}

/// The service, for the requests of one connection.
#[derive(Clone)]
struct PerConnection<S> {
    service: S,
    introduction: Extensions,
    activity: Arc<Activity>,
    /// How long the peer may take over reading a reply.
    reading: Duration,
}

type Answering<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

impl<S, B> Service<Request<B>> for PerConnection<S>
where
    S: Serves,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<Body>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (open, reading) = (Open::new(&self.activity), self.reading);
        let mut request = request.map(Body::new);
        request.extensions_mut().extend(self.introduction.clone());
        let answer = self.service.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let unread = response.extensions_mut().remove::<Unread>();
            let kept = unread.map(|unread| Arc::new((unread, open.replied(reading))));
            // The body holds the request open until its end, and each part of a reply its memory until it is sent.
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ = &open;
                    frame.map_data(|bytes| match &kept {
                        Some(kept) => Bytes::from_owner(Sending { bytes, _kept: Arc::clone(kept) }),
                        None => bytes,
                    })
                }))
            }))
        })
    }
}
