//! `SearchService` and `ParaphraseService`.

use simbert::server::proto::filter::Condition;
use simbert::server::proto::{self, metadata_value, query};
use tonic::Code;

use crate::harness::{Served, assert_status, text_query};

fn request(query: Option<proto::Query>, options: proto::SearchOptions) -> proto::SearchRequest {
    proto::SearchRequest { bank: "faq".to_owned(), query, options: Some(options) }
}

fn ids(hits: &[proto::Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.question.as_ref().unwrap().id.as_str()).collect()
}

async fn search(served: &mut Served, text: &str, options: proto::SearchOptions) -> Vec<proto::Hit> {
    served.client.search.search(request(text_query(text), options)).await.unwrap().into_inner().hits
}

#[tokio::test]
async fn the_nearest_question_comes_first_with_its_answer_and_times() {
    let mut served = Served::with_questions().await;
    let options = proto::SearchOptions { k: Some(3), ..Default::default() };
    let reply = served.client.search.search(request(text_query("银行卡丢了怎么挂失"), options)).await.unwrap();
    let reply = reply.into_inner();
    assert_eq!(ids(&reply.hits)[..2], ["q1", "q2"]);
    assert_eq!(reply.hits.len(), 3);
    let best = &reply.hits[0];
    assert!((best.score - 1.0).abs() < 1e-4, "{}", best.score);
    assert_eq!(best.question.as_ref().unwrap().answer.as_deref(), Some("answer to 银行卡丢了怎么挂失"));
    assert!(reply.hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(reply.timings.unwrap().search.is_some());
}

#[tokio::test]
async fn a_vector_finds_what_its_text_finds() {
    let mut served = Served::with_questions().await;
    let texts = vec!["手机没有信号".to_owned()];
    let reply = served.client.embedding.embed(proto::EmbedRequest { texts }).await.unwrap().into_inner();
    let mut vector = reply.vectors[0].clone();
    vector.values.iter_mut().for_each(|x| *x *= 3.0); // any length will do
    let query = Some(proto::Query { kind: Some(query::Kind::Vector(vector)) });
    let by_vector = served.client.search.search(request(query, Default::default())).await.unwrap().into_inner().hits;
    let by_text = search(&mut served, "手机没有信号", Default::default()).await;
    assert_eq!(ids(&by_vector), ids(&by_text));
    assert!((by_vector[0].score - by_text[0].score).abs() < 1e-5);

    let short = proto::Vector { values: vec![1.0, 2.0] };
    let short = request(Some(proto::Query { kind: Some(query::Kind::Vector(short)) }), Default::default());
    assert_status(served.client.search.search(short).await, Code::InvalidArgument, "received");
}

#[tokio::test]
async fn options_narrow_the_hits() {
    let mut served = Served::with_questions().await;
    let of = |condition| Some(proto::Filter { condition: Some(condition) });
    let with = |filter| proto::SearchOptions { filter, ..Default::default() };
    let value = |text: &str| proto::MetadataValue { kind: Some(metadata_value::Kind::Text(text.to_owned())) };
    let phone = proto::ValueFilter { key: "domain".to_owned(), values: vec![value("phone")] };
    let mut sorted = async |options| {
        let hits = search(&mut served, "银行卡丢了怎么挂失", options).await;
        let mut ids: Vec<_> = ids(&hits).into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(sorted(with(of(Condition::Value(phone.clone())))).await, ["q4", "q5"]);
    let not = Box::new(of(Condition::Value(phone)).unwrap());
    assert_eq!(sorted(with(of(Condition::Not(not)))).await, ["q1", "q2", "q3"]);
    let range = proto::RangeFilter { key: "price".to_owned(), min: Some(2.0), max: Some(4.0) };
    assert_eq!(sorted(with(of(Condition::Range(range)))).await, ["q2", "q3", "q4"]);
    let faq = proto::FaqIdFilter { faq_ids: vec!["card".to_owned(), "data".to_owned()] };
    assert_eq!(sorted(with(of(Condition::FaqId(faq)))).await, ["q1", "q2", "q5"]);
    let exists = proto::ExistsFilter { key: "colour".to_owned() };
    assert_eq!(sorted(with(of(Condition::Exists(exists)))).await, Vec::<String>::new());

    let grouped = sorted(proto::SearchOptions { group_by_faq: true, ..Default::default() }).await;
    assert_eq!(grouped, ["q1", "q3", "q4", "q5"]);
    assert_eq!(sorted(proto::SearchOptions { min_score: Some(0.999), ..Default::default() }).await, ["q1"]);
    assert_eq!(sorted(proto::SearchOptions { exact: true, k: Some(1), ..Default::default() }).await, ["q1"]);
}

#[tokio::test]
async fn a_batch_answers_each_query_in_order() {
    let mut served = Served::with_questions().await;
    let texts = ["手机流量不够用", "怎么重置密码", "手机流量不够用"];
    let queries: Vec<_> = texts.iter().filter_map(|text| text_query(text)).collect();
    let batch = proto::BatchSearchRequest { bank: "faq".to_owned(), queries: queries.clone(), options: None };
    let results = served.client.search.batch_search(batch).await.unwrap().into_inner().results;
    let best: Vec<_> = results.iter().map(|result| ids(&result.hits)[0]).collect();
    assert_eq!(best, ["q5", "q3", "q5"]);

    let options = Some(proto::SearchOptions { k: Some(1000), ..Default::default() });
    let many = vec![queries[0].clone(); 51];
    let large = proto::BatchSearchRequest { bank: "faq".to_owned(), queries: many, options };
    assert_status(
        served.client.search.batch_search(large).await,
        Code::InvalidArgument,
        "queries times `k`: expected 1 to 50000, received 51000",
    );
    let none = proto::BatchSearchRequest { bank: "faq".to_owned(), ..Default::default() };
    assert_status(served.client.search.batch_search(none).await, Code::InvalidArgument, "number of queries");
}

#[tokio::test]
async fn search_errors_have_their_codes() {
    let mut served = Served::with_questions().await;
    let client = &mut served.client.search;
    let code = Code::InvalidArgument;
    let k = |k| request(text_query("手机"), proto::SearchOptions { k: Some(k), ..Default::default() });
    assert_status(client.search(k(0)).await, code, "k: expected 1 to 1000, received 0");
    assert_status(client.search(k(1001)).await, code, "k: expected 1 to 1000, received 1001");
    let min_score = proto::SearchOptions { min_score: Some(1.5), ..Default::default() };
    assert_status(client.search(request(text_query("手机"), min_score)).await, code, "min_score");
    assert_status(client.search(request(text_query(" "), Default::default())).await, code, "query text");
    assert_status(client.search(request(None, Default::default())).await, code, "a text or a vector");
    let deep = (0..9)
        .fold(proto::Filter::default(), |inner, _| proto::Filter { condition: Some(Condition::Not(Box::new(inner))) });
    let deep = proto::SearchOptions { filter: Some(deep), ..Default::default() };
    assert_status(client.search(request(text_query("手机"), deep)).await, code, "at most 8 levels");
    let elsewhere = proto::SearchRequest { bank: "none".to_owned(), query: text_query("手机"), options: None };
    assert_status(client.search(elsewhere).await, Code::NotFound, "bank `none` was not found");
}

#[tokio::test]
async fn similar_questions_come_with_scores_and_times() {
    let mut served = Served::with_questions().await.with_writer().await;
    let request =
        proto::GenerateRequest { text: "手机".to_owned(), k: Some(5), min_score: Some(0.965), ..Default::default() };
    let reply = served.client.paraphrases.generate(request).await.unwrap().into_inner();
    let texts: Vec<_> = reply.paraphrases.iter().map(|phrase| phrase.text.as_str()).collect();
    assert_eq!(texts, ["手机0", "手机1", "手机2"]);
    assert!((reply.paraphrases[0].score - 0.99).abs() < 1e-6);
    assert!(reply.timings.unwrap().generate.unwrap().nanos > 0);
}

#[tokio::test]
async fn an_expanded_search_says_which_phrases_it_used() {
    let mut served = Served::with_questions().await.with_writer().await;
    let request = |fusion| proto::ExpandedSearchRequest {
        bank: "faq".to_owned(),
        text: "手机没有信号".to_owned(),
        options: Some(proto::SearchOptions { k: Some(2), ..Default::default() }),
        phrases: Some(3),
        fusion,
        ..Default::default()
    };
    let maximum = proto::expanded_search_request::Fusion::MaximumScore(proto::MaximumScoreFusion {});
    for fusion in [None, Some(maximum)] {
        let reply = served.client.search.expanded_search(request(fusion)).await.unwrap().into_inner();
        assert_eq!(reply.phrases.len(), 3);
        assert_eq!(reply.hits.len(), 2);
        assert_eq!(ids(&reply.hits)[0], "q4");
        assert!(reply.hits[0].phrase.as_ref().is_some_and(|phrase| phrase.starts_with("手机没有信号")));
        assert!(reply.hits[0].rank_score >= reply.hits[1].rank_score);
        assert!(reply.timings.unwrap().generate.unwrap().nanos > 0);
    }
    let many = proto::ExpandedSearchRequest { phrases: Some(101), ..request(None) };
    let reply = served.client.search.expanded_search(many).await;
    assert_status(reply, Code::InvalidArgument, "phrases: expected 1 to 100, received 101");
}

/// The fake encoder comes without a decoder.
#[tokio::test]
async fn a_model_without_a_decoder_says_so() {
    let mut served = Served::with_questions().await;
    let generate = proto::GenerateRequest { text: "手机".to_owned(), ..Default::default() };
    assert_status(served.client.paraphrases.generate(generate).await, Code::FailedPrecondition, "decoder");

    let samples = Some(proto::Sampling { samples: Some(1001), ..Default::default() });
    let generate = proto::GenerateRequest { text: "手机".to_owned(), sampling: samples, ..Default::default() };
    let reply = served.client.paraphrases.generate(generate).await;
    assert_status(reply, Code::InvalidArgument, "samples: expected 1 to 1000, received 1001");
}
