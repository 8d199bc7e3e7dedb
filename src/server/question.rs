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
        let instead = "fewer ids, or leave answers out by a `read_mask`";
        let keeping = self.0.keeping(wanted, instead);
        let read = move |bank: Bank| Ok((bank.get_keeping(&ids, &|q| keeping.keep(q))?, ids));
        let ((found, ids), timings) = self.0.in_store(&caller, bank, read).await?;
        let mut response = proto::GetQuestionsResponse { timings: Some(timings), ..Default::default() };
        for (id, question) in ids.into_iter().zip(found) {
            match question {
                Some(question) => response.questions.push(convert::question_message(question, wanted)),
                None => response.missing_ids.push(id.into()),
            }
        }
        self.0.reply(response, instead)
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
        let mut page = Page::new(size, self.0.options.max_message_bytes / 2, list);
        let fill = move |bank: Bank| {
            // One more than asked for tells whether there is another page.
            bank.list_each(after.as_ref(), size + 1, |question| page.add(convert::question_message(question, wanted)))?;
            Ok(page.response)
        };
        let (page, timings) = self.0.in_store(&caller, bank, fill).await?;
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
struct Page {
    size: usize,
    /// Bytes that are left.
    bytes: usize,
    list: String,
    response: proto::ListQuestionsResponse,
}

impl Page {
    fn new(size: usize, bytes: usize, list: String) -> Self {
        Self { size, bytes, list, response: proto::ListQuestionsResponse::default() }
    }

    /// Takes one more, and returns true, unless it is full: then it names its last question.
    fn add(&mut self, question: proto::Question) -> bool {
        let left = self.bytes.checked_sub(question.encoded_len());
        let full = self.response.questions.len() == self.size || left.is_none();
        if let Some(last) = self.response.questions.last().filter(|_| full) {
            self.response.next_page_token = page_token::write(&self.list, &last.id);
            return false;
        }
        self.bytes = left.unwrap_or(0);
        self.response.questions.push(question);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many questions a page has, of so many, and after which the next one begins.
    fn page_of(count: usize, size: usize, bytes: usize) -> (usize, Option<String>) {
        let question =
            |i| proto::Question { id: format!("q{i}"), text: "怎么开户".to_owned(), ..Default::default() };
        let mut page = Page::new(size, bytes, "list".to_owned());
        let _enough = (0..count).map(question).all(|question| page.add(question));
        (page.response.questions.len(), page_token::read("list", &page.response.next_page_token).unwrap())
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
