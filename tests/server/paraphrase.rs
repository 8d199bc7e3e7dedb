//! Similar questions for many texts, and work that nobody waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use simbert::server::proto::{self, GenerateManyRequest, GenerateManyResponse};
use tonic::{Code, Request, Status, Streaming};

use crate::encoder::{self, ENDLESS, FakeWriter};
use crate::harness::{Served, assert_status};

async fn drain(mut replies: Streaming<GenerateManyResponse>) -> (Vec<GenerateManyResponse>, Result<(), Status>) {
    let mut all = Vec::new();
    loop {
        match replies.message().await {
            Ok(Some(reply)) => all.push(reply),
            Ok(None) => return (all, Ok(())),
            Err(status) => return (all, Err(status)),
        }
    }
}

fn many(texts: &[&str]) -> GenerateManyRequest {
    GenerateManyRequest { texts: texts.iter().map(|&text| text.to_owned()).collect(), k: Some(2), ..Default::default() }
}

/// Waits until the writer has begun what has no end so often.
async fn begun(writer: &FakeWriter, times: usize) {
    reached(&writer.begun, times, "the writing does not begin").await;
}

/// Waits until the writer was told to stop so often.
async fn stopped(writer: &FakeWriter, times: usize) {
    reached(&writer.stopped, times, "the writing goes on for nobody").await;
}

async fn reached(count: &AtomicUsize, times: usize, otherwise: &str) {
    let started = Instant::now();
    while count.load(Ordering::SeqCst) < times {
        assert!(started.elapsed() < Duration::from_secs(10), "{otherwise}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn each_text_is_answered_once_and_a_bad_one_fails_alone() {
    let mut served = Served::with_questions().await.with_writer().await;
    let mut texts: Vec<String> = (0..40).map(|i| format!("问{i}")).collect();
    texts[7] = " ".to_owned();
    texts[21] = encoder::REFUSED.to_owned();
    let request = GenerateManyRequest { texts, k: Some(2), ..Default::default() };
    let (mut replies, end) = drain(served.client.paraphrases.generate_many(request).await.unwrap().into_inner()).await;
    end.unwrap();
    replies.sort_by_key(|reply| reply.position);
    assert_eq!(replies.iter().map(|reply| reply.position).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    for reply in replies {
        match reply.position {
            7 => assert!(reply.failure.unwrap().contains("text: expected some text") && reply.paraphrases.is_empty()),
            21 => assert!(reply.failure.unwrap().contains("text: expected another one")),
            i => {
                assert!(reply.timings.unwrap().generate.unwrap().nanos > 0);
                let texts: Vec<String> = reply.paraphrases.into_iter().map(|phrase| phrase.text).collect();
                assert_eq!((texts, reply.failure), (vec![format!("问{i}0"), format!("问{i}1")], None));
            }
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_whole_request_is_said_at_once() {
    let mut served = Served::with_questions().await.with_writer().await;
    let client = &mut served.client.paraphrases;
    assert_status(client.generate_many(many(&[])).await, Code::InvalidArgument, "number of texts: expected 1 to 1024");
    let sampling = Some(proto::Sampling { mask_source: Some(1.0), ..Default::default() });
    let masked = GenerateManyRequest { sampling, ..many(&["问"]) };
    assert_status(client.generate_many(masked).await, Code::InvalidArgument, "mask_source: expected 0 to 0.9");
}

#[tokio::test]
async fn a_model_that_cannot_write_ends_the_stream() {
    let mut served = Served::with_questions().await;
    let replies = served.client.paraphrases.generate_many(many(&["问"])).await.unwrap().into_inner();
    let (replies, end) = drain(replies).await;
    assert!(replies.is_empty());
    assert_eq!(end.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn writing_stops_when_the_caller_leaves() {
    let writer = FakeWriter::default();
    let eye = writer.clone();
    let mut served = Served::with_questions().await.with_the_writer(writer).await;
    let endless = proto::GenerateRequest { text: ENDLESS.to_owned(), ..Default::default() };
    tokio::select! {
        answer = served.client.paraphrases.generate(endless) => panic!("{answer:?}"),
        () = begun(&eye, 1) => {}
    }
    stopped(&eye, 1).await;

    let mut replies = served.client.paraphrases.generate_many(many(&["问", ENDLESS])).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap().unwrap().position, 0);
    begun(&eye, 2).await;
    drop(replies);
    stopped(&eye, 2).await;

    let expand =
        proto::ExpandedSearchRequest { bank: "faq".to_owned(), text: ENDLESS.to_owned(), ..Default::default() };
    tokio::select! {
        answer = served.client.search.expanded_search(expand) => panic!("{answer:?}"),
        () = begun(&eye, 3) => {}
    }
    stopped(&eye, 3).await;
}

#[tokio::test]
async fn writing_stops_at_the_deadline() {
    let writer = FakeWriter::default();
    let eye = writer.clone();
    let mut served = Served::with_questions().await.with_the_writer(writer).await;
    let mut request = Request::new(proto::GenerateRequest { text: ENDLESS.to_owned(), ..Default::default() });
    request.set_timeout(Duration::from_millis(500));
    let status = served.client.paraphrases.generate(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    stopped(&eye, 1).await;

    let mut request = Request::new(many(&["问", ENDLESS]));
    request.set_timeout(Duration::from_millis(500));
    let (_, end) = drain(served.client.paraphrases.generate_many(request).await.unwrap().into_inner()).await;
    let status = end.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    stopped(&eye, 2).await;
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let mut served = Served::with_questions().await.with_writer().await;
    let mut replies = served.client.paraphrases.generate_many(many(&["问", ENDLESS])).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap().unwrap().position, 0);
    let stopping = served.begin_stop();
    let (_, end) = drain(replies).await;
    assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap().unwrap();
}
