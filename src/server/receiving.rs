//! What callers send is held in memory until it is decoded, and a call's whole request until it is answered. Each call is
//! bounded by the largest message; this bounds all of them together.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyStream, StreamBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use crate::Error;

/// Bytes of one permit.
const UNIT: usize = 1 << 10;
/// Permits that a call takes before anything comes of it: for its headers and for what keeps it.
const CALL: u32 = 4;

/// Wraps services, and turns away what is sent to them beyond the bound.
#[derive(Clone)]
pub(super) struct Receiving<S> {
    inner: S,
    budget: Budget,
}

/// Memory for requests, shared by all calls.
#[derive(Clone)]
struct Budget {
    left: Arc<Semaphore>,
    /// In all, and for one call: a stream holds one message at a time.
    bytes: usize,
    message: usize,
}

impl<S> Receiving<S> {
    /// Lets requests take so many bytes together, each at most those of the largest message.
    pub fn new(inner: S, bytes: usize, message: usize) -> Self {
        let left = Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS)));
        Self { inner, budget: Budget { left, bytes, message } }
    }
}

impl<S> Service<Request<Body>> for Receiving<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let share = match Share::of(self.budget.clone()) {
            Ok(share) => Arc::new(share),
            Err(full) => return Box::pin(async { Ok(full.into_http()) }),
        };
        let held = Arc::clone(&share);
        let request = request.map(|body| {
            let frames = BodyStream::new(body).map(move |frame| {
                let frame = frame?;
                frame.data_ref().map_or(Ok(()), |data| share.take(data.len()))?;
                Ok::<_, Status>(frame)
            });
            Body::new(StreamBody::new(frames))
        });
        let call = self.inner.call(request);
        Box::pin(async move {
            let _held = held; // until there is an answer; a stream's body holds it for longer
            call.await
        })
    }
}

impl Budget {
    fn take(&self, permits: u32) -> Result<OwnedSemaphorePermit, Status> {
        self.left.clone().try_acquire_many_owned(permits).map_err(|_| {
            let limit = format!("{} MiB by the server's `--max-received`", self.bytes >> 20);
            Error::Exhausted { what: "the server's memory for requests".to_owned(), limit }.into()
        })
    }
}

/// What one call takes of the budget.
struct Share {
    budget: Budget,
    taken: parking_lot::Mutex<Taken>,
}

struct Taken {
    /// Of its body.
    bytes: usize,
    permits: OwnedSemaphorePermit,
}

impl Share {
    fn of(budget: Budget) -> Result<Self, Status> {
        let permits = budget.take(CALL)?;
        Ok(Self { budget, taken: Taken { bytes: 0, permits }.into() })
    }

    /// Takes more, unless it has what one message may have.
    fn take(&self, more: usize) -> Result<(), Status> {
        let mut taken = self.taken.lock();
        let held = taken.bytes.div_ceil(UNIT);
        taken.bytes = taken.bytes.saturating_add(more).min(self.budget.message);
        let wanted = taken.bytes.div_ceil(UNIT) - held;
        if wanted == 0 {
            return Ok(());
        }
        let more = self.budget.take(u32::try_from(wanted).unwrap_or(u32::MAX))?;
        taken.permits.merge(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn calls_share_a_budget_and_give_it_back() {
        let budget = Receiving::new((), 64 * UNIT, 40 * UNIT).budget;
        let (first, second) = (Share::of(budget.clone()).unwrap(), Share::of(budget.clone()).unwrap());
        first.take(1).unwrap();
        first.take(30 * UNIT).unwrap();
        assert_eq!(budget.left.available_permits(), 64 - 31 - 2 * 4);
        second.take(25 * UNIT).unwrap();
        assert_eq!(second.take(1).unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(Share::of(budget.clone()).err().unwrap().code(), Code::ResourceExhausted);
        drop(second);
        first.take(1000 * UNIT).unwrap(); // a stream goes on and on
        assert_eq!(budget.left.available_permits(), 64 - 40 - 4);
        drop(first);
        assert_eq!(budget.left.available_permits(), 64);
    }
}
