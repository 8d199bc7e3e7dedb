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
        let request = convert::generate_request(request.into_inner(), self.0.limits())?;
        let generating = self.0.to_generate();
        let ((paraphrases, timings), waited) = generating.in_model(move |model| model.generate(&request)).await?;
        let reply = proto::GenerateResponse {
            paraphrases: paraphrases.into_iter().map(convert::paraphrase).collect(),
            timings: Some(convert::timings(timings, waited)),
        };
        self.0.reply(reply, "a smaller `k`")
    }

    type GenerateManyStream = ReceiverStream<Result<proto::GenerateManyResponse, Status>>;

    async fn generate_many(
        &self,
        request: Request<proto::GenerateManyRequest>,
    ) -> Result<Response<Self::GenerateManyStream>, Status> {
        Ok(Response::new(many::start(self.0.clone(), request)?))
    }
}
