//! A request that is not sent to its end: its caller holds a connection and a call open, and asks nothing.

use std::time::Duration;

use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;

/// A whole body, of a request or of a reply, may take so many times as long as one pause.
pub(super) const PAUSES: u32 = 10;

/// The body of a call that takes one message. It fails when more of it does not come within `pause`.
pub(super) fn impatient(body: Body, pause: Duration) -> Body {
    let frames = BodyStream::new(body.map_err(Status::from)).timeout(pause);
    let late = move |_| {
        let message = format!("the rest of the request did not come within {pause:?}; send it again");
        Err(Status::deadline_exceeded(message))
    };
    Body::new(StreamBody::new(frames.map(move |frame| frame.unwrap_or_else(late))))
}
