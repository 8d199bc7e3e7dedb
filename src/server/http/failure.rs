//! What went wrong, as JSON: `{"error": {"code": "NOT_FOUND", "message": "…"}}`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct Failure {
    http: StatusCode,
    code: Code,
    message: String,
    /// What goes with it.
    pub headers: HeaderMap,
}

impl Failure {
    pub fn new(http: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { http, code, message: message.into(), headers: HeaderMap::new() }
    }

    /// The caller's mistake.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message)
    }

    /// The server's.
    pub fn internal(message: impl Into<String>) -> Self {
        Status::from(crate::Error::Internal(message.into())).into()
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let (http, _) = names(status.code());
        let mut failure = Self::new(http, status.code(), status.message());
        if status.code() == Code::Unauthenticated {
            failure.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        failure
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (_, code) = names(self.code);
        let body = serde_json::json!({ "error": { "code": code, "message": self.message } });
        let mut response = json(body.to_string().into());
        *response.status_mut() = self.http;
        response.headers_mut().extend(self.headers);
        response
    }
}

/// JSON that is written already.
pub(super) fn json(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The HTTP status that fits a gRPC code, and the code's name.
/// Source: google/rpc/code.proto, which names the mapping code by code.
fn names(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::Ok => (StatusCode::OK, "OK"),
        Code::Cancelled => (CLIENT_CLOSED_REQUEST, "CANCELLED"),
        Code::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        Code::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Code::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Code::FailedPrecondition => (StatusCode::BAD_REQUEST, "FAILED_PRECONDITION"),
        Code::Aborted => (StatusCode::CONFLICT, "ABORTED"),
        Code::OutOfRange => (StatusCode::BAD_REQUEST, "OUT_OF_RANGE"),
        Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "UNIMPLEMENTED"),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        Code::DataLoss => (StatusCode::INTERNAL_SERVER_ERROR, "DATA_LOSS"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
    }
}

/// 499, which has no name among the registered ones.
const CLIENT_CLOSED_REQUEST: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};
