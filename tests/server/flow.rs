//! Long streams in little memory, on both sides of the line.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use simbert::server::proto::{self, BulkUpsertQuestionsRequest as Message};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::child::{self, Process};
use crate::harness::{connect, numbered};

/// Questions of one message.
const TOGETHER: usize = 100;
/// Different questions: they come again and again, so that the bank stays as it is while the stream goes on.
const DIFFERENT: usize = 2000;
/// What either side may take more at the end of the stream than at its beginning. A stream of the default length carries
/// ten times as much.
const MORE: u64 = 24 << 20;

/// Questions of the long stream. `SIMBERT_TEST_STREAM=1000000` is the whole of it.
fn questions() -> usize {
    std::env::var("SIMBERT_TEST_STREAM").map_or(200_000, |number| number.parse().unwrap())
}

/// Names the address for the client that [`a_long_stream_takes_little_memory_on_both_sides`] starts.
const ADDRESS: &str = "SIMBERT_TEST_CLIENT_ADDRESS";

/// The n-th message: each question of 1 KiB and more.
fn message(n: usize) -> Message {
    let mut questions = numbered(n * TOGETHER % DIFFERENT..n * TOGETHER % DIFFERENT + TOGETHER);
    questions.iter_mut().for_each(|question| question.answer = Some("答".repeat(400)));
    Message { bank: "faq".to_owned(), questions }
}

/// What this process had in memory at most.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Not a test of its own: it is the client whose memory the next test watches, and returns at once otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let mut client = connect(address.parse().unwrap()).await.questions;
    let total = questions();
    let messages = tokio_stream::iter((0..total / TOGETHER).map(message));
    let mut replies = client.bulk_upsert_questions(messages).await.unwrap().into_inner();
    let (mut settled, mut told, mut early) = (0, 0, 0);
    while let Some(reply) = replies.message().await.unwrap() {
        assert!(reply.settled >= settled && reply.failures.is_empty());
        (settled, told) = (reply.settled, told + 1);
        if early == 0 && settled as usize > total / 10 {
            early = peak();
        }
    }
    assert_eq!(settled as usize, total);
    assert!(told >= total / 1000, "{told} replies tell how far it is");
    println!("\ndone {}", peak() - early);
}

#[tokio::test]
async fn a_long_stream_takes_little_memory_on_both_sides() {
    let folder = TempDir::new().unwrap();
    let (server, address) = child::server(folder.path(), "");
    let mut client = connect(address).await;
    let create = proto::CreateBankRequest { name: "faq".to_owned(), ..Default::default() };
    client.banks.create_bank(create).await.unwrap();
    let first = tokio_stream::iter((0..10 * DIFFERENT / TOGETHER).map(message));
    let mut replies = client.questions.bulk_upsert_questions(first).await.unwrap().into_inner();
    while replies.message().await.unwrap().is_some() {}
    let before = server.peak();
    let started = Instant::now();
    let address = address.to_string();
    let stream = tokio::task::spawn_blocking(move || {
        Process::start("flow::stream", "done ", &[(ADDRESS, OsStr::new(&address))])
    });
    let grown: u64 = stream.await.unwrap().said.parse().unwrap();
    println!("{} questions took {:?}", questions(), started.elapsed());
    assert!(grown < MORE, "the client took {grown} bytes more");
    let grown = server.peak() - before;
    assert!(grown < MORE, "the server took {grown} bytes more");
}

#[tokio::test]
async fn a_caller_that_never_reads_stops_the_stream() {
    let folder = TempDir::new().unwrap();
    let (server, address) = child::server(folder.path(), "");
    let mut client = connect(address).await;
    let create = proto::CreateBankRequest { name: "faq".to_owned(), ..Default::default() };
    client.banks.create_bank(create).await.unwrap();
    let before = server.peak();
    let sent = Arc::new(AtomicUsize::new(0));
    let (sender, messages) = mpsc::channel(1);
    let count = sent.clone();
    let sending = tokio::spawn(async move {
        // Every question is refused, so that there is much to reply.
        let bad = proto::Question { id: "长".repeat(200), ..Default::default() };
        loop {
            let message = Message { bank: "faq".to_owned(), questions: vec![bad.clone(); TOGETHER] };
            if sender.send(message).await.is_err() {
                return;
            }
            count.fetch_add(TOGETHER, Ordering::Relaxed);
        }
    });
    let mut replies = client.questions.bulk_upsert_questions(ReceiverStream::new(messages)).await.unwrap().into_inner();
    let started = Instant::now();
    let mut seen = usize::MAX;
    while sent.load(Ordering::Relaxed) != seen {
        seen = sent.load(Ordering::Relaxed);
        assert!(started.elapsed() < Duration::from_secs(60), "{seen} questions were taken in, and no reply was read");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let grown = server.peak() - before;
    assert!(grown < MORE, "the server took {grown} bytes more for {seen} questions");
    for _ in 0..50 {
        assert!(replies.message().await.unwrap().is_some());
    }
    let goes_on = async {
        while sent.load(Ordering::Relaxed) == seen {
            assert!(replies.message().await.unwrap().is_some());
        }
    };
    tokio::time::timeout(Duration::from_secs(20), goes_on).await.expect("it goes on when replies are read");
    sending.abort();
}
