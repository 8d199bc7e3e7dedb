//! `ParaphraseService`.

use tonic::{Request, Response, Status};

use super::context::Context;
use super::proto::paraphrase_service_server::ParaphraseService;
use super::{convert, proto};

/// Writes similar questions.
pub(super) struct Paraphrases(pub Context);

#[tonic::async_trait]
impl ParaphraseService for Paraphrases {
    async fn generate(
        &self,
        request: Request<proto::GenerateRequest>,
    ) -> Result<Response<proto::GenerateResponse>, Status> {
        let request = convert::generate_request(request.into_inner())?;
        let ((paraphrases, timings), waited) = self.0.in_engine(move |engine| engine.generate(&request)).await?;
        Ok(Response::new(proto::GenerateResponse {
            paraphrases: paraphrases.into_iter().map(convert::paraphrase).collect(),
            timings: Some(convert::timings(timings, waited)),
        }))
    }
}
