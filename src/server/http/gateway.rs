//! JSON to a call and back, whichever call it is: the descriptors say what its messages look like.
//! Source of the mapping: ProtoJSON, the canonical form of protocol buffers in JSON.

use axum::body::Body;
use axum::extract::RawPathParams;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions, Value};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};

use super::body::{self, Intake};
use super::failure::{Failure, json};
use super::route::Verb;
use super::{frame, query};
use crate::server::access::Access;
use crate::server::calls::{Calls, Routed};
use crate::server::contract;

/// Milliseconds that the caller waits.
const TIMEOUT: HeaderName = HeaderName::from_static("x-timeout-ms");
/// Headers that mean to a call what they mean here.
const PASSED_ON: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// One call as a route makes it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gateway {
    pub calls: Calls<Routed>,
    pub verb: Verb,
    pub method: MethodDescriptor,
    pub access: Access,
    pub intake: Intake,
}

impl Gateway {
    /// Answers one request.
    pub async fn answer(self, path: RawPathParams, request: Request<Body>) -> Response {
        self.call(path, request).await.unwrap_or_else(IntoResponse::into_response)
    }

    async fn call(self, path: RawPathParams, request: Request<Body>) -> Result<Response, Failure> {
        let (parts, body) = request.into_parts();
        let mut place = self.intake.room.place(); // held until the reply is written
        let mut message = match self.verb {
            // The call itself will be refused; what comes with it is not read for that.
            _ if !self.admits(&parts) => DynamicMessage::new(self.method.input()),
            Verb::Get => query::message(self.method.input(), parts.uri.query().unwrap_or_default())?,
            Verb::Post => {
                body::check_content_type(&parts.headers)?;
                self.intake.read(self.method.input(), body, &mut place).await?
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
        if let Some(unread) = answer.unread {
            response.extensions_mut().insert(unread);
        }
        Ok(response)
    }

    fn admits(&self, parts: &Parts) -> bool {
        let key = parts.headers.get(header::AUTHORIZATION);
        let mut presented = key.map(|key| (header::AUTHORIZATION, key.clone())).into_iter().collect();
        self.access.admit(&self.path(), &mut presented).is_ok()
    }

    fn path(&self) -> String {
        contract::path(&self.method)
    }
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
    let written = body::off_thread(message.len(), move || {
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
