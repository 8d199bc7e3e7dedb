//! What a status says to people, and what it says to programs.

use std::time::Duration;

use simbert::server::{ServerOptions, proto};
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt as _};

use crate::encoder;
use crate::harness::{Served, assert_status, options, questions, text_query};

fn info(status: &Status) -> ErrorInfo {
    status.get_error_details().error_info().cloned().unwrap()
}

/// The field that a status complains of, with its sentence.
fn field(status: &Status) -> String {
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    assert_eq!((violations.len(), violations[0].description.as_str()), (1, status.message()));
    violations[0].field.clone()
}

#[tokio::test]
async fn a_bank_that_is_not_there_is_said_to_callers_and_not_to_operators() {
    let mut served = Served::start().await;
    let get = proto::GetBankRequest { name: "none".to_owned() };
    let status = served.client.banks.get_bank(get).await.unwrap_err();
    let expected = "bank `none` was not found; ListBanks tells which there are, CreateBank makes one";
    assert_eq!((status.code(), status.message()), (Code::NotFound, expected));
    let info = info(&status);
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("BANK_NOT_FOUND", "simbert"));
    assert_eq!(info.metadata["bank"], "none");
    assert!(status.get_error_details().retry_info().is_none());
}

#[tokio::test]
async fn a_bad_field_is_named_by_its_path() {
    let mut served = Served::with_bank().await;
    let mut bad = questions();
    bad[3].metadata.insert("lang".to_owned(), proto::MetadataValue::default());
    let status = served.upsert(bad).await.unwrap_err();
    assert_eq!(
        (field(&status).as_str(), info(&status).reason.as_str()),
        (r#"questions[3].metadata["lang"]"#, "INVALID_VALUE")
    );

    let search =
        |options| proto::SearchRequest { bank: "faq".to_owned(), query: text_query("手机"), options: Some(options) };
    let k = search(proto::SearchOptions { k: Some(1001), ..Default::default() });
    let status = served.client.search.search(k).await.unwrap_err();
    assert_eq!((field(&status).as_str(), info(&status).reason.as_str()), ("options.k", "LIMIT_EXCEEDED"));
    let facts = info(&status).metadata;
    assert_eq!(
        (facts["limit"].as_str(), facts["most"].as_str(), facts["setting"].as_str()),
        ("hits", "1000", "--max-hits")
    );

    let filter = proto::Filter { condition: Some(proto::filter::Condition::Not(Box::default())) };
    let filter = search(proto::SearchOptions { filter: Some(filter), ..Default::default() });
    assert_eq!(field(&served.client.search.search(filter).await.unwrap_err()), "options.filter.not");
    let mask = Some(prost_types::FieldMask { paths: vec!["answers".to_owned()] });
    let mask = search(proto::SearchOptions { read_mask: mask, ..Default::default() });
    assert_eq!(field(&served.client.search.search(mask).await.unwrap_err()), "options.read_mask");
    let batch = proto::BatchSearchRequest {
        bank: "faq".to_owned(),
        queries: text_query("手机").into_iter().chain([proto::Query::default()]).collect(),
        options: None,
    };
    assert_eq!(field(&served.client.search.batch_search(batch).await.unwrap_err()), "queries[1]");
    let get = proto::GetBankRequest { name: "no name".to_owned() };
    assert_eq!(field(&served.client.banks.get_bank(get).await.unwrap_err()), "name");
    let texts = vec!["a".to_owned(), String::new()];
    let embed = served.client.embedding.embed(proto::EmbedRequest { texts }).await;
    assert_eq!(field(&embed.unwrap_err()), "texts[1]");
    let sampling = Some(proto::Sampling { temperature: Some(-1.0), ..Default::default() });
    let generate = proto::GenerateRequest { text: "手机".to_owned(), sampling, ..Default::default() };
    assert_eq!(field(&served.client.paraphrases.generate(generate).await.unwrap_err()), "sampling.temperature");
}

#[tokio::test]
async fn a_full_server_says_when_to_try_again() {
    let served = Served::start_with(ServerOptions { max_concurrent: 1, max_waiting: 0, ..options() }).await;
    let embed = || {
        let mut client = served.client.embedding.clone();
        let texts = vec![encoder::SLOW.to_owned()];
        tokio::spawn(async move { client.embed(proto::EmbedRequest { texts }).await })
    };
    let calls = [embed(), embed(), embed()];
    let mut refused = Vec::new();
    for call in calls {
        refused.extend(call.await.unwrap().err());
    }
    assert_eq!(refused.len(), 2);
    for status in refused {
        assert_eq!((status.code(), info(&status).reason.as_str()), (Code::ResourceExhausted, "BUSY"));
        let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
        assert!(delay > Duration::ZERO && delay < Duration::from_secs(10));
        assert!(status.message().contains("`--max-waiting`"), "{status}");
    }
}

#[tokio::test]
async fn what_a_caller_made_long_comes_back_short() {
    let mut served = Served::with_bank().await;
    let long = "长".repeat(1 << 20);
    let get = proto::GetBankRequest { name: long.clone() };
    assert_status(served.client.banks.get_bank(get).await, Code::InvalidArgument, "bank name: expected 1 to 64");
    let mut bad = questions();
    bad[0].metadata.insert(long.clone(), proto::MetadataValue::default());
    assert_status(served.upsert(bad).await, Code::InvalidArgument, "value of metadata `长长");
    let list = proto::ListQuestionsRequest { bank: "faq".to_owned(), page_token: long, ..Default::default() };
    assert_status(served.client.questions.list_questions(list).await, Code::InvalidArgument, "page_token");
}
