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
        ..Default::default()
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
        ..Default::default()
    };
    let questions = &mut served.client.questions;
    let code = Code::InvalidArgument;
    assert_status(questions.list_questions(list("none", None, "")).await, Code::NotFound, "bank `none`");
    assert_status(questions.list_questions(list("faq", Some(0), "")).await, code, "page_size: expected 1 to 1000");
    assert_status(questions.list_questions(list("faq", Some(1001), "")).await, code, "page_size");
    for token in ["n00001", "\n", "00000000n00001", "long".repeat(1000).as_str()] {
        assert_status(questions.list_questions(list("faq", None, token)).await, code, "page_token: expected the");
    }
    let ids = vec![String::new()];
    let get = proto::GetQuestionsRequest { bank: "faq".to_owned(), ids, ..Default::default() };
    assert_status(questions.get_questions(get).await, code, "question id: expected 1 to 512 bytes");
}

#[tokio::test]
async fn a_page_token_is_of_one_bank() {
    let mut served = Served::with_bank().await;
    served.create("other").await.unwrap();
    served.upsert(numbered(0..3)).await.unwrap();
    let list = |bank: &str, page_token| proto::ListQuestionsRequest {
        bank: bank.to_owned(),
        page_size: Some(2),
        page_token,
        ..Default::default()
    };
    let questions = &mut served.client.questions;
    let token = questions.list_questions(list("faq", String::new())).await.unwrap().into_inner().next_page_token;
    assert_status(questions.list_questions(list("other", token.clone())).await, Code::InvalidArgument, "page_token");
    let rest = questions.list_questions(list("faq", token)).await.unwrap().into_inner();
    assert_eq!((rest.questions.len(), rest.next_page_token.as_str()), (1, ""));
}

#[tokio::test]
async fn a_read_mask_leaves_out_what_nobody_wants() {
    let mut served = Served::with_questions().await;
    let mask =
        |paths: &[&str]| Some(prost_types::FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() });
    let whole = questions()[0].clone();
    let bare = proto::Question { id: whole.id.clone(), ..Default::default() };
    let masks = [
        (mask(&["id"]), bare.clone()),
        (
            mask(&["text", "faq_id"]),
            proto::Question { text: whole.text.clone(), faq_id: whole.faq_id.clone(), ..bare.clone() },
        ),
        (mask(&["answer"]), proto::Question { answer: whole.answer.clone(), ..bare.clone() }),
        (mask(&["metadata"]), proto::Question { metadata: whole.metadata.clone(), ..bare }),
        (mask(&[]), whole.clone()),
        (None, whole),
    ];
    for (read_mask, expected) in masks {
        let (bank, ids) = ("faq".to_owned(), vec!["q1".to_owned()]);
        let get = proto::GetQuestionsRequest { bank: bank.clone(), ids, read_mask: read_mask.clone() };
        let got = served.client.questions.get_questions(get).await.unwrap().into_inner().questions;
        let list =
            proto::ListQuestionsRequest { bank: bank.clone(), read_mask: read_mask.clone(), ..Default::default() };
        let listed = served.client.questions.list_questions(list).await.unwrap().into_inner().questions;
        let options = Some(proto::SearchOptions { k: Some(1), read_mask, ..Default::default() });
        let query = crate::harness::text_query("银行卡丢了怎么挂失");
        let search = proto::SearchRequest { bank: bank.clone(), query: query.clone(), options: options.clone() };
        let found = served.client.search.search(search).await.unwrap().into_inner().hits;
        let batch = proto::BatchSearchRequest { bank, queries: query.into_iter().collect(), options };
        let in_batch = served.client.search.batch_search(batch).await.unwrap().into_inner().results.remove(0).hits;
        assert_eq!((&got[0], &listed[0]), (&expected, &expected));
        assert_eq!((found[0].question.as_ref(), in_batch[0].question.as_ref()), (Some(&expected), Some(&expected)));
    }
    let get = proto::GetQuestionsRequest {
        bank: "faq".to_owned(),
        ids: vec!["q1".to_owned()],
        read_mask: mask(&["nothing"]),
    };
    let refused = served.client.questions.get_questions(get).await;
    assert_status(refused, Code::InvalidArgument, "read_mask: expected `id`, `text`, `faq_id`, `answer`, `metadata`");
}

#[tokio::test]
async fn every_reply_says_how_long_its_stages_took() {
    let mut served = Served::with_bank().await;
    let took = |timings: Option<proto::Timings>, stages: &[&str]| {
        let timings = timings.unwrap();
        let all = [("queue", timings.queue), ("infer", timings.infer), ("store", timings.store)];
        for (name, stage) in all {
            let stage = stage.unwrap();
            assert!(!stages.contains(&name) || stage.nanos > 0 || stage.seconds > 0, "{name}");
        }
    };
    took(served.upsert(questions()).await.unwrap().timings, &["infer", "store"]);
    let (bank, ids) = ("faq".to_owned(), vec!["q1".to_owned()]);
    let client = &mut served.client.questions;
    let get = proto::GetQuestionsRequest { bank: bank.clone(), ids: ids.clone(), ..Default::default() };
    took(client.get_questions(get).await.unwrap().into_inner().timings, &["store"]);
    let list = proto::ListQuestionsRequest { bank: bank.clone(), ..Default::default() };
    took(client.list_questions(list).await.unwrap().into_inner().timings, &["store"]);
    let delete = proto::DeleteQuestionsRequest { bank, ids };
    took(client.delete_questions(delete).await.unwrap().into_inner().timings, &["store"]);
}
