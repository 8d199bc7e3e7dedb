//! `QuestionService`.

use std::time::Instant;

use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::access::admitted;
use super::bulk;
use super::context::Context;
use super::convert::ReadMask;
use super::limits::{ITEMS, PAGE};
use super::proto::question_service_server::QuestionService;
use super::refused::{At, Refused};
use super::{convert, page_token, proto};
use crate::engine::{Bank, Question, QuestionId, Timings, UpsertOutcome};

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
        let (caller, proto::UpsertQuestionsRequest { bank, questions }) = admitted(request)?;
        let limits = self.0.limits();
        let questions = limits.items("questions", questions, ITEMS).at("questions")?.into_iter().enumerate();
        let question = |(place, question)| convert::question(question, limits).at(format!("questions[{place}]"));
        let questions = questions.map(question).collect::<Result<Vec<_>, Refused>>()?;
        let writing = self.0.to_write();
        let ((outcome, timings), waited) = writing.in_bank(&caller, bank, move |bank| upsert(&bank, questions)).await?;
        let UpsertOutcome { inserted, updated, .. } = outcome;
        let timings = Some(convert::timings(timings, waited));
        Ok(Response::new(proto::UpsertQuestionsResponse { inserted, updated, timings }))
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
        let (caller, proto::DeleteQuestionsRequest { bank, ids }) = admitted(request)?;
        let ids = convert::question_ids(ids, self.0.limits())?;
        let (deleted, timings) = self.0.to_write().in_store(&caller, bank, move |bank| bank.delete(&ids)).await?;
        Ok(Response::new(proto::DeleteQuestionsResponse { deleted, timings: Some(timings) }))
    }

    async fn get_questions(
        &self,
        request: Request<proto::GetQuestionsRequest>,
    ) -> Result<Response<proto::GetQuestionsResponse>, Status> {
        let (caller, proto::GetQuestionsRequest { bank, ids, read_mask }) = admitted(request)?;
        let ids = convert::question_ids(ids, self.0.limits())?;
        let wanted = ReadMask::new(read_mask).at("read_mask")?;
        let read = move |bank: Bank| Ok((bank.get(&ids)?, ids));
        let ((found, ids), timings) = self.0.in_store(&caller, bank, read).await?;
        let mut response = proto::GetQuestionsResponse { timings: Some(timings), ..Default::default() };
        for (id, question) in ids.into_iter().zip(found) {
            match question {
                Some(question) => response.questions.push(convert::question_message(question, wanted)),
                None => response.missing_ids.push(id.into()),
            }
        }
        self.0.reply(response, "fewer ids, or leave answers out by a `read_mask`")
    }

    async fn list_questions(
        &self,
        request: Request<proto::ListQuestionsRequest>,
    ) -> Result<Response<proto::ListQuestionsResponse>, Status> {
        let (caller, proto::ListQuestionsRequest { bank, page_size, page_token, read_mask }) = admitted(request)?;
        let size = self.0.limits().count("page_size", page_size, DEFAULT_PAGE, PAGE).at("page_size")?;
        let wanted = ReadMask::new(read_mask).at("read_mask")?;
        let list = format!("questions of {bank}");
        let after = page_token::read(&list, &page_token).at("page_token")?;
        let after = after.map(QuestionId::new).transpose().at("page_token")?;
        // One more than asked for tells whether there is another page.
        let list_after = move |bank: Bank| bank.list(after.as_ref(), size + 1);
        let (questions, timings) = self.0.in_store(&caller, bank, list_after).await?;
        let questions = questions.into_iter().map(|question| convert::question_message(question, wanted));
        let page = page(questions, size, self.0.options.max_message_bytes / 2, &list);
        let response = proto::ListQuestionsResponse { timings: Some(timings), ..page };
        self.0.reply(response, "less of this question by a `read_mask`")
    }
}

/// Encodes and writes, and says how long that took.
pub(super) fn upsert(bank: &Bank, questions: Vec<Question>) -> crate::Result<(UpsertOutcome, Timings)> {
    let prepared = bank.prepare(questions)?;
    let encoded = prepared.timings();
    let started = Instant::now();
    let outcome = bank.commit(prepared)?;
    Ok((outcome, Timings { store: started.elapsed(), ..encoded }))
}

/// The first questions, at least one of them, that make no more than `size` and no more than `bytes`.
fn page(
    questions: impl Iterator<Item = proto::Question>,
    size: usize,
    bytes: usize,
    list: &str,
) -> proto::ListQuestionsResponse {
    let mut response = proto::ListQuestionsResponse::default();
    let mut total = 0;
    for question in questions {
        total += question.encoded_len();
        let full = response.questions.len() == size || total > bytes;
        if let Some(last) = response.questions.last().filter(|_| full) {
            response.next_page_token = page_token::write(list, &last.id);
            break;
        }
        response.questions.push(question);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many questions a page has, of so many, and after which the next one begins.
    fn page_of(count: usize, size: usize, bytes: usize) -> (usize, Option<String>) {
        let question =
            |i| proto::Question { id: format!("q{i}"), text: "怎么开户".to_owned(), ..Default::default() };
        let page = page((0..count).map(question), size, bytes, "list");
        (page.questions.len(), page_token::read("list", &page.next_page_token).unwrap())
    }

    #[test]
    fn a_page_ends_at_its_size_and_names_its_last_question() {
        assert_eq!(page_of(4, 3, usize::MAX), (3, Some("q2".to_owned())));
        assert_eq!(page_of(3, 3, usize::MAX), (3, None));
        assert_eq!(page_of(0, 3, usize::MAX), (0, None));
    }

    #[test]
    fn a_page_of_large_questions_is_shorter_but_never_empty() {
        assert_eq!(page_of(4, 4, 1), (1, Some("q0".to_owned())));
    }
}
