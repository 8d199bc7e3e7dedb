//! Around every call: its request id, its span, its deadline, and what is noted of it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status, Streaming};
use tracing::Instrument;
use tracing::field::Empty;

use super::access::Admission;
use super::metrics::{CallNames, Known, Metrics};
use super::proto::ErrorReason;
use super::receiving::Receiving;
use super::record::{self, Ending, Record};
use super::request_id::{REQUEST_ID, RequestId};
use super::{message_size, pause, status, trace};

/// When the caller stops waiting. It lies in the extensions of a request that has a `grpc-timeout`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub Instant);

impl Deadline {
    /// That of a request, if it has one.
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get().copied()
    }
}

/// tonic answers a passed `grpc-timeout` with CANCELLED, from outside of every service; gRPC wants
/// DEADLINE_EXCEEDED. So our own clock runs ahead of tonic's by more than a timer tick.
const AHEAD: Duration = Duration::from_millis(2);

/// The service whose streams are not ours to look after.
const REFLECTION: &str = "/grpc.reflection.";

/// How long the last word waits for a caller who does not read, and how long a shutting-down server reads on after it.
pub(super) const FAREWELL: Duration = Duration::from_millis(500);

/// The routes of all services behind their door, as both ports call them.
pub(super) type Routed = Admission<Receiving<tonic::service::Routes>>;

/// Wraps the routes of all services.
#[derive(Clone)]
pub(super) struct Calls<S> {
    pub routes: S,
    pub names: CallNames,
    pub metrics: Arc<Metrics>,
    /// See [`super::ServerOptions::slow_call`].
    pub slow: Duration,
    /// How long the request of a call that takes one message may pause.
    pub pause: Duration,
    /// How long a stream of requests that nobody else looks after may.
    pub idle: Duration,
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.routes.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let id = RequestId::of(request.headers());
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let method = request.uri().path();
        let span = tracing::info_span!(
            "call",
            request_id = %id,
            method,
            peer = peer.map(tracing::field::display),
            caller = Empty,
            otel.name = Empty,
            otel.kind = Empty,
        );
        trace::join(&span, request.headers(), method);
        let Known { name, asks_on, streams } = self.names.of(method).clone();
        let slow = (!streams).then_some(self.slow);
        if !asks_on {
            request = request.map(|body| pause::impatient(body, self.pause));
        } else if method.starts_with(REFLECTION) {
            request = request.map(|body| pause::idle(body, self.idle));
        }
        let record = Arc::new(Record::begin(name, span.clone(), slow, Arc::clone(&self.metrics)));
        let ending = Ending::of(Arc::clone(&record));
        let timeout = timeout(request.headers());
        let deadline = timeout.and_then(|t| record.started.checked_add(t.saturating_sub(AHEAD)));
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }
        let call = record::within(record, span.in_scope(|| self.routes.call(request)));
        let answer = async move {
            let response = match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline.into(), call)
                    .await
                    .unwrap_or_else(|_| Ok(exceeded().into_http()))?,
                None => call.await?,
            };
            let mut response = message_size::explained_answer(response);
            response.headers_mut().insert(REQUEST_ID, id.into_value());
            Ok(ending.watch(response))
        };
        Box::pin(answer.instrument(span))
    }
}

/// Ends at the deadline of a call, and never where it has none.
pub(super) async fn deadline(deadline: Option<Deadline>) {
    match deadline {
        Some(Deadline(at)) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What a caller hears whose deadline has passed.
pub(super) fn exceeded() -> Status {
    let sentence = "the call's deadline passed before the work was done; allow more time, or ask for less";
    status::own(Code::DeadlineExceeded, ErrorReason::DeadlinePassed, sentence)
}

/// What a caller hears who has not sent anything for too long, and what to do `then`.
pub(super) fn idle(idle: Duration, then: &str) -> Status {
    let sentence = format!(
        "no message came on the stream for {} s, which the server's `--stream-idle` allows; {then}",
        idle.as_secs_f64()
    );
    status::own(Code::Unavailable, ErrorReason::StreamIdle, sentence)
}

/// What a caller hears when the server stops meanwhile, and what to do `then`.
pub(super) fn shutting_down(then: &str) -> Status {
    let sentence = format!("the server is not available: it is shutting down; {then}");
    status::own(Code::Unavailable, ErrorReason::ShuttingDown, sentence)
}

/// Reads on for a moment, without looking: a connection that is closed while there is unread data in it is reset, and
/// the caller would lose the last replies.
pub(super) async fn read_on<T>(mut messages: Streaming<T>) {
    let drain = async { while let Ok(Some(_)) = messages.message().await {} };
    let _ = tokio::time::timeout(FAREWELL, drain).await;
}

/// The `grpc-timeout` header: up to 8 digits and a unit.
/// Source: gRPC over HTTP/2, section Requests. A malformed one counts as absent, as in tonic.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::engine::Engine;
    use crate::server::gate::Gate;

    /// A service that takes its time.
    #[derive(Clone)]
    struct Slow;

    impl Service<Request<Body>> for Slow {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok(Response::new(Body::empty()))
            })
        }
    }

    #[tokio::test]
    async fn a_passed_deadline_says_so() {
        let data = tempfile::tempdir().unwrap();
        let engine = Engine::without_model(data.path(), "none", 2).unwrap();
        let metrics = Arc::new(Metrics::new(engine, Gate::new(1, 0, Duration::from_secs(1))));
        let slow = Duration::from_secs(1);
        let calls = Calls { routes: Slow, names: CallNames::new().unwrap(), metrics, slow, pause: slow, idle: slow };
        let call = |timeout: &str| {
            let request = Request::builder().header("grpc-timeout", timeout).body(Body::empty()).unwrap();
            calls.clone().call(request)
        };
        let response = call("20m").await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(call("10S").await.unwrap().headers().get("grpc-status").is_none());
    }

    #[test]
    fn timeouts_are_read_in_every_unit_and_nonsense_is_none() {
        let read =
            |text: &str| timeout(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]));
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("4S"), Some(Duration::from_secs(4)));
        assert_eq!(read("50m"), Some(Duration::from_millis(50)));
        assert_eq!(read("60u"), Some(Duration::from_micros(60)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for nonsense in ["", "S", "5", "-5S", "+5S", "123456789S", "5x", "５S"] {
            let value = tonic::codegen::http::HeaderValue::from_bytes(nonsense.as_bytes()).unwrap();
            assert_eq!(timeout(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), value)])), None, "{nonsense}");
        }
    }
}
