//! The HTTP port: JSON for curl and browsers, gRPC-web, and what monitoring asks for.
//!
//! | file | its one job |
//! |---|---|
//! | `route` | the table of paths and calls |
//! | `gateway`, `frame` | JSON to a call and back; every call goes the way of those from the gRPC port |
//! | `body`, `query` | the message that a request means |
//! | `room` | how much JSON there may be at once |
//! | `failure` | errors as JSON |
//! | `openapi` | describes all of it |
//! | `probes` | is it alive, is it ready, how is it |
//! | `console` | the page at `/` |
//! | `cors` | what pages of other origins may do |

mod body;
mod console;
mod cors;
mod failure;
mod frame;
mod gateway;
mod openapi;
mod probes;
mod query;
mod room;
mod route;

pub(super) use cors::check_origin;

use axum::Router;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::http::{Request, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, on};
use tonic::Code;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};

use self::body::Intake;
use self::failure::{Failure, json};
use self::gateway::Gateway;
use self::room::Room;
use self::route::ROUTES;
use super::access::Access;
use super::calls::{Calls, Routed};
use super::context::Context;
use super::contract;
use super::request_id::{REQUEST_ID, RequestId};
use crate::Result;

/// Bodies of JSON of the largest size that there may be at once: as messages they take many times that.
const BODIES: usize = 2;

/// All that the port answers, over the calls of the server.
///
/// # Errors
/// The descriptors do not fit the table of routes.
pub(super) fn router(calls: &Calls<Routed>, context: &Context, access: &Access) -> Result<Router> {
    let options = &context.options;
    let pool = contract::ours()?;
    let document = openapi::document(&pool)?;
    let mut router = probes::routes(context).route("/openapi.json", get(async move || json(document.into())));
    let intake = Intake {
        most: options.max_message_bytes,
        pause: options.header_timeout,
        room: Room::new(BODIES * options.max_message_bytes),
    };
    for route in ROUTES {
        let (calls, access, intake) = (calls.clone(), access.clone(), intake.clone());
        let gateway = Gateway { calls, verb: route.verb, method: route.method(&pool)?, access, intake };
        let answer = move |path: RawPathParams, request: Request<Body>| gateway.clone().answer(path, request);
        router = router.route(route.path, on(route.verb.filter(), answer));
    }
    let calls = calls.clone();
    let router = console::add_to(router)
        .method_not_allowed_fallback(wrong_method)
        .fallback(move |request| other(calls.clone(), request))
        .layer(from_fn(identify));
    Ok(cors::allow(router, &options.cors_origins))
}

/// Gives every request an id, and every answer that of its request.
async fn identify(mut request: Request<Body>, next: Next) -> Response {
    let id = RequestId::of(request.headers()).into_value();
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
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
