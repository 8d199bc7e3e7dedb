//! JSON bodies of requests.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use super::failure::Failure;
use super::room::{Place, Room};
use crate::server::pause::PAUSES;

/// Messages of more bytes than this are read and written off the asynchronous threads.
const SMALL: usize = 64 << 10;

/// How bodies are taken in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Intake {
    /// Bytes of the largest.
    pub most: usize,
    /// How long one may pause.
    pub pause: Duration,
    /// What all of them share.
    pub room: Room,
}

impl Intake {
    /// The request's message, as its body has it, for which `place` makes room.
    pub async fn read(
        &self,
        input: MessageDescriptor,
        body: Body,
        place: &mut Place,
    ) -> Result<DynamicMessage, Failure> {
        let too_large = || {
            let most = self.most;
            let message = format!("body: expected at most {most} bytes, received more; send less at once");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange, message)
        };
        if body.size_hint().lower() > self.most as u64 {
            return Err(too_large()); // before any of it is read
        }
        let mut body = Limited::new(body, self.most);
        let mut bytes = BytesMut::new();
        let end = Instant::now() + self.pause * PAUSES;
        while let Some(frame) = self.in_time(end, body.frame()).await? {
            match frame.map(|frame| frame.into_data()) {
                Ok(data) => {
                    let data = data.unwrap_or_default(); // trailers say nothing here
                    place.grow(data.len())?;
                    bytes.extend_from_slice(&data);
                }
                Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
                Err(error) => return Err(Failure::invalid(format!("body: it broke off: {error}"))),
            }
        }
        off_thread(bytes.len(), move || parse(input, &bytes)).await?
    }

    /// What comes before `end` and without too long a pause.
    async fn in_time<T>(&self, end: Instant, coming: impl Future<Output = T>) -> Result<T, Failure> {
        timeout_at(end.min(Instant::now() + self.pause), coming).await.map_err(|_| {
            let (pause, whole) = (self.pause, self.pause * PAUSES);
            let message = format!("body: expected more of it within {pause:?}, and all of it within {whole:?}");
            Failure::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, message)
        })
    }
}

/// Refuses all but JSON: what a browser sends to other sites unasked is something else.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
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

/// Does what takes its time for many `bytes`.
pub(super) async fn off_thread<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    if bytes <= SMALL {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::from(crate::Error::Internal("reading or writing JSON panicked".to_owned())).into())
}
