//! Which pages may read answers: those of this port, and those of the origins that are named.
//! Source: Fetch Standard, CORS protocol.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;

use crate::{Error, Result};

/// Any origin.
const ANY: &str = "*";
const METHODS: &str = "GET, POST";
/// What a page may send besides what every page may.
const HEADERS: &str = "authorization, content-type, grpc-timeout, traceparent, tracestate, x-grpc-web, x-request-id, \
    x-timeout-ms, x-user-agent";
/// What a page may read besides the body.
const EXPOSED: &str = "grpc-message, grpc-status, grpc-status-details-bin, x-request-id";
/// Seconds that a browser remembers the answer.
const MAX_AGE: &str = "3600";

/// An origin as browsers send it, or `*`.
///
/// # Errors
/// It is something else, such as an address with a path.
pub(in crate::server) fn check_origin(origin: &str) -> Result<()> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let plain = |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@*,".contains(&b));
    if origin == ANY || host.is_some_and(plain) {
        return Ok(());
    }
    Err(Error::invalid("cors origin", "`*` or an origin such as `https://example.org:8443`", format!("`{origin}`")))
}

/// The routes, whose answers pages of `origins` may read.
pub(super) fn allow(router: Router, origins: &[String]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let origins: Arc<[String]> = origins.into();
    router.layer(from_fn(move |request: Request, next: Next| answer(Arc::clone(&origins), request, next)))
}

async fn answer(origins: Arc<[String]>, request: Request, next: Next) -> Response {
    let any = origins.iter().any(|origin| origin == ANY);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|origin| any || origins.iter().any(|known| known.as_bytes() == origin.as_bytes()));
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight { permission(allowed.is_some()) } else { next.run(request).await };
    let headers = response.headers_mut();
    if let Some(origin) = allowed {
        let origin = if any { HeaderValue::from_static(ANY) } else { origin };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    if !any {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// The answer to a browser that asks first.
fn permission(allowed: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if allowed {
        let mut say =
            |name, value| _ = HeaderMap::insert(response.headers_mut(), name, HeaderValue::from_static(value));
        say(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        say(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        say(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for good in ["*", "http://localhost:3000", "https://example.org"] {
            check_origin(good).unwrap();
        }
        for bad in ["", "example.org", "https://example.org/", "https://", "https://*.example.org", "null"] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }
}
