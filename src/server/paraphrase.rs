//! `ParaphraseService`.

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::context::Context;
use super::proto::paraphrase_service_server::ParaphraseService;
use super::{convert, many, proto};

/// Writes similar questions.
pub(super) struct Paraphrases(pub Context);

#[tonic::async_trait]
impl ParaphraseService for Paraphrases {
    async fn generate(
        &self,
        request: Request<proto::GenerateRequest>,
    ) -> Result<Response<proto::GenerateResponse>, Status> {
        let request = convert::generate_request(request.into_inner())?;
        let ((paraphrases, timings), waited) =
            self.0.to_generate().in_engine(move |engine| engine.generate(&request)).await?;
        Ok(Response::new(proto::GenerateResponse {
            paraphrases: paraphrases.into_iter().map(convert::paraphrase).collect(),
            timings: Some(convert::timings(timings, waited)),
        }))
    }

    type GenerateManyStream = ReceiverStream<Result<proto::GenerateManyResponse, Status>>;

    async fn generate_many(
        &self,
        request: Request<proto::GenerateManyRequest>,
    ) -> Result<Response<Self::GenerateManyStream>, Status> {
        Ok(Response::new(many::start(self.0.clone(), request)?))
    }
}
