//! The HTTP port: JSON for curl and browsers, gRPC-web, and what monitoring asks for.
//!
//! | file | its one job |
//! |---|---|
//! | `route` | the table of paths and calls |
//! | `gateway`, `query`, `frame` | JSON to a call and back; every call goes the way of those from the gRPC port |
//! | `failure` | errors as JSON |
//! | `openapi` | describes all of it |
//! | `console` | the page at `/` |
//! | `cors` | what pages of other origins may do |

mod console;
mod cors;
mod failure;
mod frame;
mod gateway;
mod openapi;
mod query;
mod route;

pub(super) use cors::check_origin;

use axum::Router;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, on};
use prost_reflect::DescriptorPool;
use tonic::Code;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};

use self::failure::{Failure, json};
use self::gateway::Gateway;
use self::route::ROUTES;
use super::calls::{Calls, Routed};
use super::{ServerOptions, proto};
use crate::{Error, Result};

/// All that the port answers, over the calls of the server.
///
/// # Errors
/// The descriptors do not fit the table of routes.
pub(super) fn router(calls: &Calls<Routed>, options: &ServerOptions) -> Result<Router> {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS)
        .map_err(|e| Error::Internal(format!("the descriptors are damaged: {e}")))?;
    let document = openapi::document(&pool)?;
    let mut router = Router::new().route("/openapi.json", get(async move || json(document.into())));
    for route in ROUTES {
        let gateway = Gateway {
            calls: calls.clone(),
            verb: route.verb,
            method: route.method(&pool)?,
            max_message_bytes: options.max_message_bytes,
            body_timeout: options.header_timeout,
        };
        let answer = move |path: RawPathParams, request: Request<Body>| gateway.clone().answer(path, request);
        router = router.route(route.path, on(route.verb.filter(), answer));
    }
    let calls = calls.clone();
    let router = console::add_to(router);
    let router =
        router.method_not_allowed_fallback(wrong_method).fallback(move |request| other(calls.clone(), request));
    Ok(cors::allow(router, &options.cors_origins))
}

/// gRPC-web, and plain gRPC where the connection is HTTP/2; all else is unknown.
async fn other(calls: Calls<Routed>, request: Request<Body>) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        let Ok(response) = GrpcWebLayer::new().layer(calls).oneshot(request).await;
        return response.map(Body::new);
    }
    unknown(request.uri().path())
}

fn unknown(path: &str) -> Response {
    let message = format!("path: expected one of those that /openapi.json lists, received `{path}`");
    Failure::new(StatusCode::NOT_FOUND, Code::NotFound, message).into_response()
}

async fn wrong_method(request: Request<Body>) -> Response {
    let message = format!("method: {} is not for `{}`; see /openapi.json", request.method(), request.uri().path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, message).into_response()
}
