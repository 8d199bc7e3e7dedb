//! A unary gRPC call in process: one framed message in, one out.
//! Source of the frame: gRPC over HTTP/2, section Length-Prefixed-Message.

use axum::http::{HeaderMap, HeaderValue, Request, header};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::Error;
use crate::server::calls::{Calls, Routed};
use crate::server::unread::Unread;

/// A flag, whether the message is compressed, and its length.
const PREFIX: usize = 1 + 4;

/// What a call gave: its headers, and its message or why there is none.
pub(super) struct Answer {
    pub headers: HeaderMap,
    pub message: Result<Bytes, Status>,
    /// Keeps the memory of the message.
    pub unread: Option<Unread>,
}

/// A request for `path` that holds one message.
pub(super) fn request(path: String, message: &impl Message) -> Result<Request<Body>, Status> {
    let length = u32::try_from(message.encoded_len());
    let length = length.map_err(|_| Status::out_of_range("the message has more than 4 GiB"))?;
    let mut frame = BytesMut::with_capacity(PREFIX + length as usize);
    frame.put_u8(0);
    frame.put_u32(length);
    message.encode(&mut frame).map_err(|e| fault(&e.to_string()))?;
    let mut request = Request::new(Body::new(Full::new(frame.freeze())));
    *request.method_mut() = axum::http::Method::POST;
    *request.version_mut() = axum::http::Version::HTTP_2;
    *request.uri_mut() = path.parse().map_err(|_| fault("a call has no path"))?;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    Ok(request)
}

/// Makes the call, as if it had come in at the gRPC port.
pub(super) async fn call(calls: Calls<Routed>, request: Request<Body>) -> Answer {
    let Ok(response) = calls.oneshot(request).await;
    let (mut parts, body) = response.into_parts();
    let refused = Status::from_header_map(&parts.headers).filter(|status| status.code() != tonic::Code::Ok);
    let message = match refused {
        Some(status) => Err(status),
        None => message(body).await,
    };
    Answer { headers: parts.headers, message, unread: parts.extensions.remove() }
}

/// The one message of a body, unless its trailers say why there is none.
async fn message(body: Body) -> Result<Bytes, Status> {
    let collected = body.collect().await?;
    if let Some(status) = collected.trailers().and_then(Status::from_header_map)
        && status.code() != tonic::Code::Ok
    {
        return Err(status);
    }
    let mut frame = collected.to_bytes();
    if frame.len() < PREFIX {
        return Err(fault("a call gave no message"));
    }
    let prefix = frame.split_to(PREFIX);
    match prefix[..] {
        [0, a, b, c, d] if u32::from_be_bytes([a, b, c, d]) as usize == frame.len() => Ok(frame),
        _ => Err(fault("a call gave more than one message, or a compressed one")),
    }
}

fn fault(what: &str) -> Status {
    Error::Internal(what.to_owned()).into()
}
