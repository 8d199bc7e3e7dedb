//! Starting, stopping, and being killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use simbert::server::{Server, ServerOptions, proto};
use tempfile::TempDir;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::harness::{Served, assert_status, connect, engine, numbered, options};
use crate::{child, encoder};

#[tokio::test]
async fn stopping_finishes_the_calls_that_run_and_keeps_the_data() {
    let served = Served::with_questions().await;
    let mut client = served.client.embedding.clone();
    let texts = vec![encoder::SLOW.to_owned()];
    let call = tokio::spawn(async move { client.embed(proto::EmbedRequest { texts }).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let folder = served.stop().await;
    call.await.unwrap().unwrap();
    let mut again = Served::start_in(folder, options()).await;
    assert_eq!(again.ids(10).await, ["q1", "q2", "q3", "q4", "q5"]);
}

#[tokio::test]
async fn health_watchers_hear_of_the_end_and_do_not_delay_it() {
    let served = Served::start().await;
    let mut health = HealthClient::new(served.client.channel());
    let watch = health.watch(HealthCheckRequest { service: String::new() }).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status().as_str_name(), "SERVING");
    let started = Instant::now();
    let running = served.begin_stop();
    assert_eq!(watch.message().await.unwrap().unwrap().status().as_str_name(), "NOT_SERVING");
    assert!(watch.message().await.unwrap().is_none());
    running.await.unwrap().unwrap();
    assert!(started.elapsed() < ServerOptions::default().grace / 4, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_idle_bulk_stream_does_not_delay_the_end() {
    let served = Served::start().await;
    let (_sender, messages) = tokio::sync::mpsc::channel::<proto::BulkUpsertQuestionsRequest>(1);
    let mut client = served.client.questions.clone();
    let mut replies = client.bulk_upsert_questions(ReceiverStream::new(messages)).await.unwrap().into_inner();
    let started = Instant::now();
    let running = served.begin_stop();
    assert_status(replies.message().await, Code::Unavailable, "shutting down");
    running.await.unwrap().unwrap();
    assert!(started.elapsed() < ServerOptions::default().grace / 4, "{:?}", started.elapsed());
}

#[tokio::test]
async fn calls_that_outlast_the_grace_period_are_left() {
    let grace = Duration::from_millis(50);
    let served = Served::start_with(ServerOptions { grace, ..options() }).await;
    // Reflection answers for as long as it is asked, and here it might be asked again.
    let (_sender, requests) = tokio::sync::mpsc::channel::<ServerReflectionRequest>(1);
    let mut reflection = ServerReflectionClient::new(served.client.channel());
    let replies = reflection.server_reflection_info(ReceiverStream::new(requests)).await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(5), served.begin_stop()).await.unwrap();
    stopped.unwrap().unwrap();
    drop(replies);
}

#[tokio::test]
async fn a_taken_address_and_bad_options_are_sentences() {
    let served = Served::start().await;
    let folder = TempDir::new().unwrap();
    let bind = |options| Server::bind(engine(folder.path(), "fake"), options);
    let error = bind(ServerOptions { listen: served.address, ..options() }).await.err().unwrap().to_string();
    assert!(error.starts_with(&format!("address {} is not available: ", served.address)), "{error}");
    let error = bind(ServerOptions { max_concurrent: 0, ..options() }).await.err().unwrap().to_string();
    assert_eq!(error, "max_concurrent: expected at least 1, received 0");
}

#[tokio::test]
async fn killing_the_server_loses_nothing_acknowledged() {
    let folder = Arc::new(TempDir::new().unwrap());
    let mut settled = 0;
    for round in 0..3 {
        let (mut server, address) = child::server(folder.path(), "bulk_batch=8");
        let mut client = connect(address).await;
        if round == 0 {
            let create = proto::CreateBankRequest { name: "faq".to_owned(), ..Default::default() };
            client.banks.create_bank(create).await.unwrap();
        }
        let messages = (settled..settled + 4000)
            .step_by(8)
            .map(|i| proto::BulkUpsertQuestionsRequest { bank: "faq".to_owned(), questions: numbered(i..i + 8) });
        let messages = tokio_stream::iter(messages.collect::<Vec<_>>());
        let mut replies = client.questions.bulk_upsert_questions(messages).await.unwrap().into_inner();
        let mut seen = 0;
        while let Ok(Some(reply)) = replies.message().await {
            seen = reply.settled as usize;
            if seen >= 8 * (5 + 10 * round) {
                server.kill(); // SIGKILL; replies already on their way still count
            }
        }
        drop(server);
        assert!(seen > 0);
        settled += seen;
    }
    let mut again = Served::start_in(folder, options()).await;
    let ids = again.ids(1000).await;
    let acknowledged: Vec<_> = numbered(0..settled).into_iter().map(|question| question.id).collect();
    assert!(ids.len() >= settled && ids[..settled] == acknowledged, "{} of {settled}", ids.len());
}
