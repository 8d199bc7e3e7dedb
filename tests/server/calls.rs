//! What surrounds every call: deadlines, limits, health, reflection, faults.

use std::time::{Duration, Instant};

use simbert::server::proto;
use simbert::server::{Client, ClientOptions, ServerOptions};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::encoder;
use crate::harness::{Served, assert_status, numbered, options, text_query};

fn embed(text: &str) -> proto::EmbedRequest {
    proto::EmbedRequest { texts: vec![text.to_owned()] }
}

#[tokio::test]
async fn a_passed_deadline_ends_the_call_and_the_server_lives() {
    let mut served = Served::start().await;
    let mut request = Request::new(embed(encoder::SLOW));
    request.set_timeout(Duration::from_millis(100));
    let started = Instant::now();
    let status = served.client.embedding.embed(request).await.unwrap_err();
    // The client's own clock says CANCELLED; the server's, DEADLINE_EXCEEDED. Either may be first.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    assert!(started.elapsed() < encoder::SLOWNESS);
    served.client.embedding.embed(embed("手机")).await.unwrap();
}

#[tokio::test]
async fn a_full_server_turns_calls_away_at_once() {
    let options = ServerOptions { max_concurrent: 1, max_waiting: 1, ..options() };
    let served = Served::start_with(options).await;
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let mut client = served.client.embedding.clone();
            tokio::spawn(async move { client.embed(embed(encoder::SLOW)).await })
        })
        .collect();
    let mut done = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => done += 1,
            refused => {
                assert_status(refused, Code::ResourceExhausted, "the server's waiting room is full (2 calls by the")
            }
        }
    }
    assert_eq!(done, 2);
}

#[tokio::test]
async fn a_call_that_waits_too_long_is_turned_away() {
    let max_wait = Duration::from_millis(50);
    let mut served = Served::start_with(ServerOptions { max_concurrent: 1, max_wait, ..options() }).await;
    let mut client = served.client.embedding.clone();
    let slow = tokio::spawn(async move { client.embed(embed(encoder::SLOW)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    let reply = served.client.embedding.embed(embed("手机")).await;
    assert_status(reply, Code::ResourceExhausted, "the server's waiting room is full (no turn within 50 ms");
    assert!(started.elapsed() < encoder::SLOWNESS / 2, "{:?}", started.elapsed());
    slow.await.unwrap().unwrap();
    served.client.embedding.embed(embed("手机")).await.unwrap();
}

#[tokio::test]
async fn long_calls_leave_places_to_searches() {
    let mut served = Served::with_questions().await.with_writer().await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let mut client = served.client.paraphrases.clone();
            let request = proto::GenerateRequest { text: encoder::ENDLESS.to_owned(), ..Default::default() };
            tokio::spawn(async move { client.generate(request).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let request = proto::SearchRequest { bank: "faq".to_owned(), query: text_query("手机"), options: None };
    let found = tokio::time::timeout(Duration::from_secs(5), served.client.search.search(request)).await;
    assert!(!found.expect("a search does not wait for them").unwrap().into_inner().hits.is_empty());
    calls.iter().for_each(|call| call.abort());
}

#[tokio::test]
async fn work_whose_caller_has_gone_is_not_started() {
    let mut served = Served::start_with(ServerOptions { max_concurrent: 1, ..options() }).await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let mut client = served.client.embedding.clone();
            tokio::spawn(async move { client.embed(embed(encoder::SLOW)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    calls.iter().for_each(|call| call.abort());
    let started = Instant::now();
    served.client.embedding.embed(embed("手机")).await.unwrap();
    // At most the one that had begun is waited for, not the three behind it.
    assert!(started.elapsed() < encoder::SLOWNESS * 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_server_lives() {
    let mut served = Served::start().await;
    for _ in 0..3 {
        let reply = served.client.embedding.embed(embed(encoder::PANIC)).await;
        assert_status(reply, Code::Internal, "internal error, please report it");
    }
    served.client.embedding.embed(embed("手机")).await.unwrap();
}

#[tokio::test]
async fn messages_past_the_limit_are_refused_in_both_directions() {
    let mut served = Served::start_with(ServerOptions { max_message_bytes: 64 << 10, ..options() }).await;
    served.create("faq").await.unwrap();
    let mut large = numbered(0..1);
    large[0].answer = Some("x".repeat(65 << 10));
    let too_large = served.upsert(large).await;
    assert_status(too_large.clone(), Code::OutOfRange, "message: expected at most 65536 bytes, received 66");
    assert_status(too_large, Code::OutOfRange, "send fewer or shorter items in each; the server's `--max-message`");

    let mut large = numbered(0..3);
    large.iter_mut().for_each(|question| question.answer = Some("x".repeat(40 << 10)));
    for question in large {
        served.upsert(vec![question]).await.unwrap();
    }
    let ids = numbered(0..3).into_iter().map(|question| question.id).collect();
    let get = proto::GetQuestionsRequest { bank: "faq".to_owned(), ids, ..Default::default() };
    let reply = served.client.questions.get_questions(get).await;
    assert_status(reply, Code::OutOfRange, "ask for fewer ids, or leave answers out by a `read_mask`");
    // Pages grow shorter instead.
    assert_eq!(served.ids(100).await.len(), 3);

    let options = ClientOptions { max_message_bytes: 1 << 10, ..ClientOptions::default() };
    let mut client = Client::connect(format!("http://{}", served.address), &options).await.unwrap();
    let ids = vec!["n00000".to_owned()];
    let reply = client
        .questions
        .get_questions(proto::GetQuestionsRequest { bank: "faq".to_owned(), ids, ..Default::default() })
        .await;
    assert_status(reply, Code::OutOfRange, "decoded message length too large");
}

#[tokio::test]
async fn unary_calls_do_not_wait_for_acknowledgements() {
    let mut served = Served::with_questions().await;
    let request = || proto::SearchRequest { bank: "faq".to_owned(), query: text_query("手机"), options: None };
    let mut times = Vec::new();
    for _ in 0..100 {
        let started = Instant::now();
        served.client.search.search(request()).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort();
    // Without nodelay a call takes 40 ms and more.
    assert!(times[50] < Duration::from_millis(20), "p50 is {:?}", times[50]);
}

#[tokio::test]
async fn health_knows_every_service() {
    let served = Served::start().await;
    let mut health = HealthClient::new(served.client.channel());
    for name in ["", "Bank", "Embedding", "Paraphrase", "Question", "Search"] {
        let service = if name.is_empty() { String::new() } else { format!("simbert.v1.{name}Service") };
        let reply = health.check(HealthCheckRequest { service }).await.unwrap().into_inner();
        assert_eq!(reply.status().as_str_name(), "SERVING", "{name}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nothing".to_owned() }).await;
    assert_status(unknown, Code::NotFound, "service");
}

#[tokio::test]
async fn reflection_lists_the_services_and_knows_their_messages() {
    let served = Served::start().await;
    let mut reflection = ServerReflectionClient::new(served.client.channel());
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("simbert.v1.Filter".to_owned())),
    ];
    let replies = reflection.server_reflection_info(tokio_stream::iter(requests)).await.unwrap();
    let mut replies = replies.into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = replies.message().await.unwrap().unwrap().message_response
    else {
        panic!("expected a list of services");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["BankService", "EmbeddingService", "ParaphraseService", "QuestionService", "SearchService"] {
        assert!(names.contains(&format!("simbert.v1.{name}").as_str()), "{names:?}");
    }
    let file = replies.message().await.unwrap().unwrap().message_response;
    assert!(matches!(file, Some(MessageResponse::FileDescriptorResponse(_))), "{file:?}");
}

#[tokio::test]
async fn nobody_there_is_a_sentence() {
    let options = ClientOptions::default();
    let error = Client::connect("http://127.0.0.1:1", &options).await.unwrap_err().to_string();
    assert!(error.starts_with("server `http://127.0.0.1:1` is not available: "), "{error}");
    let error = Client::connect("not an address", &options).await.unwrap_err().to_string();
    assert_eq!(error, "server address: expected `http://host:port` or `https://host:port`, received `not an address`");
}
