//! `EmbeddingService`.

use tonic::{Request, Response, Status};

use super::context::Context;
use super::limits::ITEMS;
use super::proto::embedding_service_server::EmbeddingService;
use super::refused::{At, Refused};
use super::{convert, proto};
use crate::runtime::CacheUse;

/// Texts to vectors.
pub(super) struct Embedding(pub Context);

#[tonic::async_trait]
impl EmbeddingService for Embedding {
    async fn embed(&self, request: Request<proto::EmbedRequest>) -> Result<Response<proto::EmbedResponse>, Status> {
        let limits = self.0.limits();
        let texts = limits.items("texts", request.into_inner().texts, ITEMS).at("texts")?.into_iter().enumerate();
        let texts = texts.map(|(place, text)| limits.sentence("text", text).at(format!("texts[{place}]")));
        let texts = texts.collect::<Result<Vec<_>, Refused>>()?;
        let ((vectors, timings), waited) = self.0.embed(texts).await?;
        let reply = proto::EmbedResponse {
            vectors: vectors.into_iter().map(|values| proto::Vector { values }).collect(),
            timings: Some(convert::timings(timings, waited)),
        };
        self.0.reply(reply, "fewer texts")
    }

    async fn get_model(&self, _: Request<proto::GetModelRequest>) -> Result<Response<proto::GetModelResponse>, Status> {
        let CacheUse { hits, misses, bytes, capacity } = self.0.model.cache();
        Ok(Response::new(proto::GetModelResponse {
            fingerprint: self.0.model.fingerprint().to_owned(),
            dimension: self.0.model.dimension() as u32, // a model is thousands wide at most
            cache: Some(proto::VectorCache { hits, misses, bytes, capacity }),
            limits: Some(self.0.options.limits_message()),
        }))
    }
}
