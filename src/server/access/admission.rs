//! The door before all services.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use tokio_util::either::Either;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use super::Access;

/// Asks for the key of every call, and tells the service who calls.
#[derive(Clone)]
pub(in crate::server) struct Admission<S> {
    pub access: Access,
    pub routes: S,
}

impl<S> Service<Request<Body>> for Admission<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.routes.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        match self.access.admit(head.uri.path(), &mut head.headers) {
            Ok(caller) => {
                if let Some(caller) = caller {
                    if let Some(name) = caller.name() {
                        tracing::Span::current().record("caller", name);
                    }
                    head.extensions.insert(caller);
                }
                Either::Left(self.routes.call(Request::from_parts(head, body)))
            }
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}
