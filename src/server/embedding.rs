//! `EmbeddingService`.

use tonic::{Request, Response, Status};

use super::context::Context;
use super::proto::embedding_service_server::EmbeddingService;
use super::{convert, limits, proto};
use crate::Result;
use crate::runtime::CacheUse;

/// Texts to vectors.
pub(super) struct Embedding(pub Context);

#[tonic::async_trait]
impl EmbeddingService for Embedding {
    async fn embed(&self, request: Request<proto::EmbedRequest>) -> Result<Response<proto::EmbedResponse>, Status> {
        let texts = limits::items("texts", request.into_inner().texts, limits::ITEMS)?;
        let texts = texts.into_iter().map(|text| limits::sentence("text", text)).collect::<Result<Vec<_>>>()?;
        let ((vectors, timings), waited) = self.0.in_model(move |model| model.embed(&texts)).await?;
        Ok(Response::new(proto::EmbedResponse {
            vectors: vectors.into_iter().map(|values| proto::Vector { values }).collect(),
            timings: Some(convert::timings(timings, waited)),
        }))
    }

    async fn get_model(&self, _: Request<proto::GetModelRequest>) -> Result<Response<proto::GetModelResponse>, Status> {
        let CacheUse { hits, misses, bytes, capacity } = self.0.model.cache();
        Ok(Response::new(proto::GetModelResponse {
            fingerprint: self.0.model.fingerprint().to_owned(),
            dimension: self.0.model.dimension() as u32, // a model is thousands wide at most
            cache: Some(proto::VectorCache { hits, misses, bytes, capacity }),
        }))
    }
}
