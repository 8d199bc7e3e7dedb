//! A request that is not sent to its end: its caller holds a connection and a call open, and asks nothing.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;

/// A whole body, of a request or of a reply, may take so many times as long as one pause.
pub(super) const PAUSES: u32 = 10;

/// The body of a call that takes one message. It fails when more of it does not come within `pause`, and when all of it
/// does not come within [`PAUSES`] times that.
pub(super) fn impatient(body: Body, pause: Duration) -> Body {
    within(body, pause, pause.saturating_mul(PAUSES))
}

/// The body of a stream of messages. It fails when nothing comes for `idle`.
pub(super) fn idle(body: Body, idle: Duration) -> Body {
    within(body, idle, Duration::MAX)
}

fn within(body: Body, pause: Duration, all: Duration) -> Body {
    let began = Instant::now();
    let frames = BodyStream::new(body.map_err(Status::from)).timeout(pause);
    let late = move |limit| {
        let message = format!("the rest of the request did not come within {limit:?}; send it again");
        Err(Status::deadline_exceeded(message))
    };
    Body::new(StreamBody::new(frames.map(move |frame| match frame {
        Ok(_) if began.elapsed() > all => late(all),
        Ok(frame) => frame,
        Err(_) => late(pause),
    })))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tonic::Code;

    use super::*;

    /// How many bytes came of a body of five, of which one comes each 20 ms, and how that ended.
    async fn read(limit: impl Fn(Body) -> Body) -> (usize, Option<Code>) {
        let bytes = tokio_stream::iter((0..5).map(|_| Ok::<_, Status>(Bytes::from_static(b"x"))));
        let bytes = Box::pin(bytes.throttle(Duration::from_millis(20)));
        let mut body = limit(Body::new(axum::body::Body::from_stream(bytes)));
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(_) => read += 1,
                Err(status) => return (read, Some(status.code())),
            }
        }
        (read, None)
    }

    #[tokio::test]
    async fn a_body_may_pause_but_neither_for_long_nor_for_ever() {
        let long = Duration::from_secs(5);
        assert_eq!(read(|body| impatient(body, long)).await, (5, None));
        assert_eq!(read(|body| idle(body, long)).await, (5, None));
        assert_eq!(read(|body| idle(body, Duration::from_millis(2))).await, (1, Some(Code::DeadlineExceeded)));
        let (read, code) = read(|body| within(body, long, Duration::from_millis(50))).await;
        assert!((1..5).contains(&read) && code == Some(Code::DeadlineExceeded), "{read}");
    }
}
