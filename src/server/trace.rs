//! A call's place in the trace of its caller. Source: W3C Trace Context.

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::Status;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tonic::codegen::http::HeaderMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::status::code_name;

struct Carrier<'a>(&'a HeaderMap);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

/// Puts the span of a call into the trace that the headers name, or into one of its own, and describes it as
/// OpenTelemetry's conventions for RPC have it. Does nothing unless traces are kept.
pub(super) fn join(span: &Span, headers: &HeaderMap, path: &str) {
    let parent = TraceContextPropagator::new().extract(&Carrier(headers));
    if span.set_parent(parent).is_err() {
        return;
    }
    let name = path.trim_start_matches('/');
    span.record("otel.name", name).record("otel.kind", "server");
    span.set_attribute("rpc.system", "grpc");
    if let Some((service, method)) = name.split_once('/') {
        span.set_attribute("rpc.service", service.to_owned());
        span.set_attribute("rpc.method", method.to_owned());
    }
}

/// Notes how the call ended. What the caller can put right is no error of the server's.
pub(super) fn end(span: &Span, code: Code) {
    span.set_attribute("rpc.grpc.status_code", i64::from(code as i32));
    if matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    ) {
        span.set_status(Status::error(code_name(code)));
    }
}
