//! What monitoring asks for: is it alive, is it ready, how is it.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;
use tonic::{Code, Status};

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
    let Ok(turn) = context.measuring.clone().acquire_owned().await else {
        return Failure::internal("measuring has ended").into_response();
    };
    let metrics = context.metrics.clone();
    let write = move || {
        let _turn = turn; // until it is done, even if its caller leaves
        metrics.write()
    };
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(text)) => {
            let mut response = Response::new(text.into());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
            response
        }
        Ok(Err(error)) => Failure::from(Status::from(error)).into_response(),
        Err(_) => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "measuring panicked").into_response(),
    }
}
