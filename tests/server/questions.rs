//! `QuestionService` without its stream.

use simbert::server::proto::{self, metadata_value};
use tonic::Code;

use crate::harness::{Served, assert_status, numbered, questions};

#[tokio::test]
async fn questions_are_written_read_replaced_and_removed() {
    let mut served = Served::with_bank().await;
    let reply = served.upsert(questions()).await.unwrap();
    assert_eq!((reply.inserted, reply.updated), (5, 0));

    let get = |ids: &[&str]| proto::GetQuestionsRequest {
        bank: "faq".to_owned(),
        ids: ids.iter().map(|&id| id.to_owned()).collect(),
    };
    let found = served.client.questions.get_questions(get(&["q3", "none", "q1"])).await.unwrap().into_inner();
    assert_eq!(found.questions, [questions()[2].clone(), questions()[0].clone()]);
    assert_eq!(found.missing_ids, ["none"]);

    let mut changed = questions()[0].clone();
    changed.text = "卡丢了".to_owned();
    changed.answer = None;
    let reply = served.upsert(vec![changed.clone()]).await.unwrap();
    assert_eq!((reply.inserted, reply.updated), (0, 1));
    let found = served.client.questions.get_questions(get(&["q1"])).await.unwrap().into_inner();
    assert_eq!(found.questions, [changed]);

    let delete = proto::DeleteQuestionsRequest {
        bank: "faq".to_owned(),
        ids: vec!["q1".to_owned(), "none".to_owned(), "q2".to_owned()],
    };
    assert_eq!(served.client.questions.delete_questions(delete).await.unwrap().into_inner().deleted, 2);
    assert_eq!(served.ids(10).await, ["q3", "q4", "q5"]);
}

#[tokio::test]
async fn pages_cover_every_question_once_in_order() {
    let mut served = Served::with_bank().await;
    served.upsert(numbered(0..25)).await.unwrap();
    let expected: Vec<_> = numbered(0..25).into_iter().map(|question| question.id).collect();
    for size in [1, 7, 24, 25, 26, 1000] {
        assert_eq!(served.ids(size).await, expected, "pages of {size}");
    }
}

#[tokio::test]
async fn one_bad_question_refuses_the_whole_call_and_writes_nothing() {
    let mut served = Served::with_bank().await;
    let mut bad = questions();
    bad[3].text = " ".to_owned();
    assert_status(served.upsert(bad).await, Code::InvalidArgument, "question `q4`, text: expected something to read");
    assert_eq!(served.ids(10).await, Vec::<String>::new());

    let mut bad = questions();
    bad[2].metadata.insert("n".to_owned(), proto::MetadataValue { kind: Some(metadata_value::Kind::Number(f64::NAN)) });
    assert_status(
        served.upsert(bad).await,
        Code::InvalidArgument,
        "question `q3`, metadata `n`: expected a finite number",
    );
    assert_status(served.upsert(numbered(0..1025)).await, Code::InvalidArgument, "received 1025");
    assert_status(served.upsert(vec![]).await, Code::InvalidArgument, "number of questions");
}

#[tokio::test]
async fn reading_has_its_errors() {
    let mut served = Served::with_bank().await;
    let list = |bank: &str, page_size, page_token: &str| proto::ListQuestionsRequest {
        bank: bank.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let questions = &mut served.client.questions;
    let code = Code::InvalidArgument;
    assert_status(questions.list_questions(list("none", None, "")).await, Code::NotFound, "bank `none`");
    assert_status(questions.list_questions(list("faq", Some(0), "")).await, code, "page_size: expected 1 to 1000");
    assert_status(questions.list_questions(list("faq", Some(1001), "")).await, code, "page_size");
    assert_status(questions.list_questions(list("faq", None, "\n")).await, code, "question id");
    let ids = vec![String::new()];
    let get = proto::GetQuestionsRequest { bank: "faq".to_owned(), ids };
    assert_status(questions.get_questions(get).await, code, "question id: expected 1 to 512 bytes");
}
