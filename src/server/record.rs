//! What is noted of each call: its line in the log, and its part of the metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::{Code, Status};
use tracing::Span;

use super::metrics::{CallName, Metrics};
use super::status::code_name;
use super::trace;
use crate::engine::Timings;

tokio::task_local! {
    /// The call that the task answers.
    static CALL: Arc<Record>;
}

/// A call that is open.
pub(super) struct Record {
    pub name: CallName,
    pub span: Span,
    pub started: Instant,
    /// From when on it is slow; never, for a stream.
    pub slow: Option<Duration>,
    pub metrics: Arc<Metrics>,
    /// The longest time of each stage, of those that its replies tell.
    timings: Mutex<Timings>,
}

impl Record {
    /// Notes that a call begins.
    pub fn begin(name: CallName, span: Span, slow: Option<Duration>, metrics: Arc<Metrics>) -> Self {
        metrics.begin(&name);
        Self { name, span, started: Instant::now(), slow, metrics, timings: Mutex::default() }
    }

    fn end(&self, code: Code) {
        let (took, timings) = (self.started.elapsed(), *self.timings.lock());
        self.metrics.end(&self.name, code, took, timings);
        let slow = self.slow.is_some_and(|slow| took >= slow);
        let milliseconds = |time: Duration| time.as_micros() as f64 / 1000.0;
        trace::end(&self.span, code);
        let _in_call = self.span.enter();
        if code == Code::Ok && !slow {
            return tracing::debug!(code = code_name(code), milliseconds = milliseconds(took), "call ended");
        }
        let stage = |time: Duration| (!time.is_zero()).then(|| milliseconds(time));
        tracing::info!(
            code = code_name(code),
            milliseconds = milliseconds(took),
            queue_ms = stage(timings.queue),
            tokenise_ms = stage(timings.tokenise),
            infer_ms = stage(timings.infer),
            generate_ms = stage(timings.generate),
            search_ms = stage(timings.search),
            "{}",
            if slow { "slow call" } else { "call failed" }
        );
    }
}

/// Runs the work of a call, whose stages are noted.
pub(super) async fn within<T>(record: Arc<Record>, work: impl Future<Output = T>) -> T {
    CALL.scope(record, work).await
}

/// Notes how long the stages of the task's call took, if it answers one.
pub(super) fn note(timings: Timings) {
    let _ = CALL.try_with(|call| {
        let mut noted = call.timings.lock();
        *noted = noted.longest(timings);
    });
}

/// Notes the end of a call when it is dropped: with the body of the reply, or with the work when the caller has left.
pub(super) struct Ending {
    record: Arc<Record>,
    /// None until the reply says so.
    code: Option<Code>,
}

impl Ending {
    pub fn of(record: Arc<Record>) -> Self {
        Self { record, code: None }
    }

    /// Watches a reply until its last word.
    pub fn watch(mut self, response: Response<Body>) -> Response<Body> {
        self.code = Status::from_header_map(response.headers()).map(|status| status.code());
        if self.code.is_some() {
            return response; // which has no messages
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                self.hear(frame.trailers_ref()); // a method, so that all of `self` goes with the body
                frame
            }))
        })
    }

    fn hear(&mut self, trailers: Option<&HeaderMap>) {
        if let Some(trailers) = trailers {
            self.code = Status::from_header_map(trailers).map(|status| status.code());
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.record.end(self.code.unwrap_or(Code::Cancelled));
    }
}
