//! `QuestionService`.

use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::bulk;
use super::context::Context;
use super::proto::question_service_server::QuestionService;
use super::{convert, limits, proto};
use crate::Result;
use crate::engine::{Question, QuestionId};

/// Questions of a page when no number is asked for.
const DEFAULT_PAGE: usize = 100;

/// Writes and reads questions.
pub(super) struct Questions(pub Context);

#[tonic::async_trait]
impl QuestionService for Questions {
    async fn upsert_questions(
        &self,
        request: Request<proto::UpsertQuestionsRequest>,
    ) -> Result<Response<proto::UpsertQuestionsResponse>, Status> {
        let proto::UpsertQuestionsRequest { bank, questions } = request.into_inner();
        let questions = limits::items("questions", questions, limits::ITEMS)?;
        let questions = questions.into_iter().map(convert::question).collect::<Result<Vec<_>>>()?;
        let (outcome, _) = self.0.to_write().in_bank(bank, move |bank| bank.upsert(questions)).await?;
        Ok(Response::new(proto::UpsertQuestionsResponse { inserted: outcome.inserted, updated: outcome.updated }))
    }

    type BulkUpsertQuestionsStream = ReceiverStream<Result<proto::BulkUpsertQuestionsResponse, Status>>;

    async fn bulk_upsert_questions(
        &self,
        request: Request<Streaming<proto::BulkUpsertQuestionsRequest>>,
    ) -> Result<Response<Self::BulkUpsertQuestionsStream>, Status> {
        bulk::start(self.0.clone(), request).map(Response::new)
    }

    async fn delete_questions(
        &self,
        request: Request<proto::DeleteQuestionsRequest>,
    ) -> Result<Response<proto::DeleteQuestionsResponse>, Status> {
        let proto::DeleteQuestionsRequest { bank, ids } = request.into_inner();
        let ids = convert::question_ids(ids)?;
        let (deleted, _) = self.0.to_write().in_bank(bank, move |bank| bank.delete(&ids)).await?;
        Ok(Response::new(proto::DeleteQuestionsResponse { deleted }))
    }

    async fn get_questions(
        &self,
        request: Request<proto::GetQuestionsRequest>,
    ) -> Result<Response<proto::GetQuestionsResponse>, Status> {
        let proto::GetQuestionsRequest { bank, ids } = request.into_inner();
        let ids = convert::question_ids(ids)?;
        let read = move |bank: crate::engine::Bank| Ok((bank.get(&ids)?, ids));
        let ((found, ids), _) = self.0.in_bank(bank, read).await?;
        let mut response = proto::GetQuestionsResponse::default();
        for (id, question) in ids.into_iter().zip(found) {
            match question {
                Some(question) => response.questions.push(convert::question_message(question)),
                None => response.missing_ids.push(id.into()),
            }
        }
        Ok(Response::new(response))
    }

    async fn list_questions(
        &self,
        request: Request<proto::ListQuestionsRequest>,
    ) -> Result<Response<proto::ListQuestionsResponse>, Status> {
        let proto::ListQuestionsRequest { bank, page_size, page_token } = request.into_inner();
        let size = limits::count("page_size", page_size, DEFAULT_PAGE, limits::HITS)?;
        let after = (!page_token.is_empty()).then(|| QuestionId::new(page_token)).transpose()?;
        // One more than asked for tells whether there is another page.
        let (questions, _) = self.0.in_bank(bank, move |bank| bank.list(after.as_ref(), size + 1)).await?;
        Ok(Response::new(page(questions, size, self.0.options.max_message_bytes / 2)))
    }
}

/// The first questions, at least one of them, that make no more than `size` and no more than `bytes`.
/// The token is the last id: stable while others write.
fn page(questions: Vec<Question>, size: usize, bytes: usize) -> proto::ListQuestionsResponse {
    let mut response = proto::ListQuestionsResponse::default();
    let mut total = 0;
    for question in questions {
        let question = convert::question_message(question);
        total += question.encoded_len();
        let full = response.questions.len() == size || total > bytes;
        if let Some(last) = response.questions.last().filter(|_| full) {
            response.next_page_token = last.id.clone();
            break;
        }
        response.questions.push(question);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(count: usize) -> Vec<Question> {
        let question = |i| Question {
            id: QuestionId::new(format!("q{i}")).unwrap(),
            text: "怎么开户".to_owned(),
            faq_id: None,
            answer: None,
            metadata: Default::default(),
        };
        (0..count).map(question).collect()
    }

    #[test]
    fn a_page_ends_at_its_size_and_names_its_last_question() {
        let full = page(questions(4), 3, usize::MAX);
        assert_eq!((full.questions.len(), full.next_page_token.as_str()), (3, "q2"));
        let last = page(questions(3), 3, usize::MAX);
        assert_eq!((last.questions.len(), last.next_page_token.as_str()), (3, ""));
        assert_eq!(page(Vec::new(), 3, usize::MAX), proto::ListQuestionsResponse::default());
    }

    #[test]
    fn a_page_of_large_questions_is_shorter_but_never_empty() {
        let one = page(questions(4), 4, 1);
        assert_eq!((one.questions.len(), one.next_page_token.as_str()), (1, "q0"));
    }
}
