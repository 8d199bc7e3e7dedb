//! What callers send is held in memory until it is decoded, and a call's whole request until it is answered. Each call is
//! bounded by the largest message; this bounds all of them together.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyStream, StreamBody};
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use super::memory::{BLOCK, Memory, Part};
use super::weight::Weights;

/// What the paths of our own services begin with.
const OURS: &str = "/simbert.";
/// Blocks that a call takes before anything comes of it: for its headers and for what keeps it.
const CALL: usize = 4;

/// Bytes of a message at most that is sent without a key, to health and reflection.
pub(super) const OPEN: usize = 64 << 10;

/// Wraps services, and turns away what is sent to them beyond the bound.
#[derive(Clone)]
pub(super) struct Receiving<S> {
    inner: S,
    memory: Memory,
    /// Bytes of one call at most: a stream holds one message at a time.
    message: usize,
    weights: Weights,
}

impl<S> Receiving<S> {
    /// Lets requests take so many bytes together, each at most those of the largest message and what it becomes.
    ///
    /// # Errors
    /// The descriptors are damaged.
    pub fn new(inner: S, bytes: usize, message: usize) -> crate::Result<Self> {
        Ok(Self { inner, memory: Memory::new(bytes, "requests", "--max-received"), message, weights: Weights::new()? })
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
        let ours = request.uri().path().starts_with(OURS);
        let share = match Share::of(self.memory.clone(), if ours { self.message } else { OPEN }) {
            Ok(share) => Arc::new(share),
            Err(full) => return Box::pin(async { Ok(full.into_http()) }),
        };
        let held = Arc::clone(&share);
        let mut scale = self.weights.scale(request.uri().path());
        let request = request.map(|body| {
            let frames = BodyStream::new(body).map(move |frame| {
                let frame = frame?;
                if let Some(data) = frame.data_ref() {
                    share.take(data.len())?;
                    share.weigh(scale.as_mut().map_or(0, |scale| scale.take(data)))?;
                }
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

/// What one call takes of the memory.
struct Share {
    memory: Memory,
    message: usize,
    taken: parking_lot::Mutex<Taken>,
}

struct Taken {
    /// Of its body.
    bytes: usize,
    /// Of what its heaviest message becomes, besides its bytes.
    weight: usize,
    part: Part,
}

impl Share {
    fn of(memory: Memory, message: usize) -> Result<Self, Status> {
        let part = memory.take(CALL)?;
        Ok(Self { memory, message, taken: Taken { bytes: 0, weight: 0, part }.into() })
    }

    /// Takes more, unless it has what one message may have.
    fn take(&self, more: usize) -> Result<(), Status> {
        let taken = &mut *self.taken.lock();
        let bytes = taken.bytes.saturating_add(more).min(self.message);
        self.grow(&mut taken.part, &mut taken.bytes, bytes)
    }

    /// Takes what a message of this weight becomes, unless a heavier one came before.
    fn weigh(&self, weight: usize) -> Result<(), Status> {
        let taken = &mut *self.taken.lock();
        if weight <= taken.weight { Ok(()) } else { self.grow(&mut taken.part, &mut taken.weight, weight) }
    }

    /// Has a part that holds so many bytes hold more.
    fn grow(&self, part: &mut Part, bytes: &mut usize, more: usize) -> Result<(), Status> {
        let wanted = more.div_ceil(BLOCK) - bytes.div_ceil(BLOCK);
        *bytes = more;
        if wanted > 0 {
            part.merge(self.memory.take(wanted)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn calls_share_the_memory_and_give_it_back() {
        let Receiving { memory, message, .. } = Receiving::new((), 64 * BLOCK, 40 * BLOCK).unwrap();
        let share = || Share::of(memory.clone(), message);
        let (first, second) = (share().unwrap(), share().unwrap());
        first.take(1).unwrap();
        first.take(30 * BLOCK).unwrap();
        assert_eq!(memory.left(), 64 - 31 - 2 * 4);
        second.take(25 * BLOCK).unwrap();
        assert_eq!(second.take(1).unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(share().err().unwrap().code(), Code::ResourceExhausted);
        drop(second);
        first.take(1000 * BLOCK).unwrap(); // a stream goes on and on
        assert_eq!(memory.left(), 64 - 40 - 4);
        first.weigh(10 * BLOCK).unwrap();
        first.weigh(5 * BLOCK).unwrap(); // the next message of the stream
        assert_eq!(memory.left(), 64 - 40 - 4 - 10);
        assert_eq!(first.weigh(30 * BLOCK).unwrap_err().code(), Code::ResourceExhausted);
        drop(first);
        assert_eq!(memory.left(), 64);
    }
}
