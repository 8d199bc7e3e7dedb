//! JSON to a call and back, whichever call it is: the descriptors say what its messages look like.
//! Source of the mapping: ProtoJSON, the canonical form of protocol buffers in JSON.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::RawPathParams;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions, Value};
use tokio::time::timeout;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Code, Status};

use super::failure::{Failure, json};
use super::frame;
use super::query;
use super::route::Verb;
use crate::server::calls::{Calls, Routed};

/// Milliseconds that the caller waits.
const TIMEOUT: HeaderName = HeaderName::from_static("x-timeout-ms");
/// Headers that mean to a call what they mean here.
const PASSED_ON: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
/// Messages of more bytes than this are read and written off the asynchronous threads.
const SMALL: usize = 64 << 10;

/// One call as a route makes it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gateway {
    pub calls: Calls<Routed>,
    pub verb: Verb,
    pub method: MethodDescriptor,
    pub max_message_bytes: usize,
    /// How long the body may pause.
    pub body_timeout: Duration,
}

impl Gateway {
    /// Answers one request.
    pub async fn answer(self, path: RawPathParams, request: Request<Body>) -> Response {
        self.call(path, request).await.unwrap_or_else(IntoResponse::into_response)
    }

    async fn call(self, path: RawPathParams, request: Request<Body>) -> Result<Response, Failure> {
        let (parts, body) = request.into_parts();
        let mut message = match self.verb {
            Verb::Get => query::message(self.method.input(), parts.uri.query().unwrap_or_default())?,
            Verb::Post => {
                check_content_type(&parts.headers)?;
                self.read(body).await?
            }
        };
        for (name, value) in &path {
            put(&mut message, name, value)?;
        }
        let mut request = frame::request(self.path(), &message)?;
        drop(message);
        carry_over(&parts, &mut request)?;
        let answer = frame::call(self.calls.clone(), request).await;
        let headers = passed_back(&answer.headers);
        let mut response = match answer.message {
            Ok(message) => write(self.method.output(), message).await?,
            Err(status) => Failure::from(status).into_response(),
        };
        response.headers_mut().extend(headers);
        Ok(response)
    }

    fn path(&self) -> String {
        format!("/{}/{}", self.method.parent_service().full_name(), self.method.name())
    }

    /// The request's message, as its body has it.
    async fn read(&self, body: Body) -> Result<DynamicMessage, Failure> {
        let too_large = || {
            let most = self.max_message_bytes;
            let message = format!("body: expected at most {most} bytes, received more; send less at once");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange, message)
        };
        if body.size_hint().lower() > self.max_message_bytes as u64 {
            return Err(too_large()); // before any of it is read
        }
        let mut body = Limited::new(body, self.max_message_bytes);
        let mut bytes = BytesMut::new();
        while let Some(frame) = timeout(self.body_timeout, body.frame()).await.map_err(|_| self.too_slow())? {
            match frame.map(|frame| frame.into_data()) {
                Ok(data) => bytes.extend_from_slice(&data.unwrap_or_default()), // trailers say nothing here
                Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
                Err(error) => return Err(Failure::invalid(format!("body: it broke off: {error}"))),
            }
        }
        let input = self.method.input();
        off_thread(bytes.len(), move || parse(input, &bytes)).await?
    }

    fn too_slow(&self) -> Failure {
        let message = format!("body: expected more of it within {:?}", self.body_timeout);
        Failure::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, message)
    }
}

/// Refuses all but JSON: what a browser sends to other sites unasked is something else.
fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let received = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("something else"));
    let essence = received.and_then(|received| received.split(';').next()).unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let received = received.map_or("none".to_owned(), |received| format!("`{received}`"));
    let message = format!("content type: expected `application/json`, received {received}");
    Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message))
}

/// A message of its JSON. What is wrong with it is said with line and column.
fn parse(input: MessageDescriptor, bytes: &[u8]) -> Result<DynamicMessage, Failure> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::invalid("body: expected a JSON object, received nothing"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let message = DynamicMessage::deserialize(input, &mut json);
    let message = message.and_then(|message| json.end().map(|()| message));
    message.map_err(|error| Failure::invalid(format!("body: {error}")))
}

/// Puts a value of the path into its field, which the body leaves out or repeats.
fn put(message: &mut DynamicMessage, name: &str, value: &str) -> Result<(), Failure> {
    if let Some(Value::String(other)) = message.get_field_by_name(name).as_deref()
        && !other.is_empty()
        && other != value
    {
        let text = format!("{name}: expected `{value}`, as the path has it, or nothing, received `{other}`");
        return Err(Failure::invalid(text));
    }
    message
        .try_set_field_by_name(name, Value::String(value.to_owned()))
        .map_err(|error| Failure::internal(format!("{name} of a path: {error}")))
}

/// Who asks, and what goes with the question.
fn carry_over(parts: &Parts, request: &mut Request<tonic::body::Body>) -> Result<(), Failure> {
    for name in PASSED_ON {
        for value in parts.headers.get_all(&name) {
            request.headers_mut().append(&name, value.clone());
        }
    }
    if let Some(value) = parts.headers.get(TIMEOUT) {
        let expected = || Failure::invalid(format!("{TIMEOUT}: expected 1 to 99999999 milliseconds"));
        let digits = value.to_str().map_err(|_| expected())?;
        let number: u32 = digits.parse().map_err(|_| expected())?;
        // gRPC's header has at most 8 digits.
        if !(1..100_000_000).contains(&number) {
            return Err(expected());
        }
        let value = HeaderValue::from_str(&format!("{number}m")).map_err(|_| expected())?;
        request.headers_mut().insert("grpc-timeout", value);
    }
    let (from, to) = (&parts.extensions, request.extensions_mut());
    from.get::<TcpConnectInfo>().map(|peer| to.insert(peer.clone()));
    from.get::<TlsConnectInfo<TcpConnectInfo>>().map(|peer| to.insert(peer.clone()));
    Ok(())
}

/// What the caller hears besides the message: what is gRPC's own is left out.
fn passed_back(headers: &HeaderMap) -> HeaderMap {
    let ours = |name: &HeaderName| name.as_str().starts_with("x-") || name == header::RETRY_AFTER;
    headers.iter().filter(|(name, _)| ours(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The reply's message as JSON. Fields that are empty are there all the same, unless they are `optional`.
async fn write(output: MessageDescriptor, message: Bytes) -> Result<Response, Failure> {
    let written = off_thread(message.len(), move || {
        let mut json = serde_json::Serializer::new(Vec::with_capacity(message.len() * 2));
        let message = DynamicMessage::decode(output, message).map_err(|e| e.to_string())?;
        let options = SerializeOptions::new().skip_default_fields(false);
        message.serialize_with_options(&mut json, &options).map_err(|e| e.to_string())?;
        Ok::<_, String>(json.into_inner())
    });
    match written.await? {
        Ok(written) => Ok(json(written.into())),
        Err(error) => Err(Failure::internal(format!("a reply cannot be written as JSON: {error}"))),
    }
}

/// Does what takes its time for many `bytes`.
async fn off_thread<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    if bytes <= SMALL {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::from(crate::Error::Internal("reading or writing JSON panicked".to_owned())).into())
}
