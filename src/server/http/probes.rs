//! What monitoring asks for: is it alive, is it ready, how is it.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

use super::failure::{Failure, json};
use crate::server::context::Context;
use crate::server::metrics::CONTENT_TYPE;

/// The routes for it. No key is needed, and nothing that is private is told.
pub(super) fn routes(context: &Context) -> Router {
    let (ready, metrics) = (context.clone(), context.clone());
    Router::new()
        .route("/healthz", get(|| async { json(json!({ "alive": true }).to_string().into()) }))
        .route("/readyz", get(move || readiness(ready.clone())))
        .route("/metrics", get(move || measures(metrics.clone())))
}

/// Whether calls can be answered now.
async fn readiness(context: Context) -> Response {
    match context.readiness().await {
        Ok(()) => json(json!({ "ready": true }).to_string().into()),
        Err(status) => Failure::new(StatusCode::SERVICE_UNAVAILABLE, status.code(), status.message()).into_response(),
    }
}

async fn measures(context: Context) -> Response {
    match context.measured().await {
        Ok(text) => {
            let mut response = Response::new(text.into());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
            response
        }
        Err(status) => Failure::from(status).into_response(),
    }
}
