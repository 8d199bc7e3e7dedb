//! The stream of questions.

use std::time::Duration;

use simbert::server::ServerOptions;
use simbert::server::proto::{self, BulkUpsertQuestionsRequest as Message, BulkUpsertQuestionsResponse as Reply};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::encoder;
use crate::harness::{Served, assert_status, numbered, options};

fn message(bank: &str, questions: Vec<proto::Question>) -> Message {
    Message { bank: bank.to_owned(), questions }
}

/// Sends all messages at once; gives all replies and how the stream ended.
async fn send(served: &mut Served, messages: Vec<Message>) -> (Vec<Reply>, Result<(), Status>) {
    match served.client.questions.bulk_upsert_questions(tokio_stream::iter(messages)).await {
        Ok(replies) => drain(replies.into_inner()).await,
        Err(status) => (Vec::new(), Err(status)),
    }
}

async fn drain(mut replies: Streaming<Reply>) -> (Vec<Reply>, Result<(), Status>) {
    let mut all = Vec::new();
    loop {
        match replies.message().await {
            Ok(Some(reply)) => all.push(reply),
            Ok(None) => return (all, Ok(())),
            Err(status) => return (all, Err(status)),
        }
    }
}

async fn served_in_batches_of(bulk_batch: usize) -> Served {
    let mut served = Served::start_with(ServerOptions { bulk_batch, ..options() }).await;
    served.create("faq").await.unwrap();
    served
}

#[tokio::test]
async fn bad_questions_are_reported_and_the_rest_is_written() {
    let mut served = served_in_batches_of(10).await;
    let mut questions = numbered(0..35);
    questions[7].text = "  ".to_owned();
    questions[21].id = String::new();
    let messages = vec![message("faq", questions[..12].to_vec()), message("", questions[12..].to_vec())];
    let (replies, end) = send(&mut served, messages).await;
    end.unwrap();
    let last = replies.last().unwrap();
    assert_eq!((last.settled, last.inserted, last.updated, last.failed), (35, 33, 0, 2));
    let failures: Vec<_> = replies.iter().flat_map(|reply| &reply.failures).collect();
    assert_eq!(failures.len(), 2);
    assert_eq!((failures[0].position, failures[0].id.as_str()), (7, "n00007"));
    assert!(failures[0].reason.contains("text: expected something to read"), "{}", failures[0].reason);
    assert_eq!((failures[1].position, failures[1].id.as_str()), (21, ""));
    assert_eq!((failures[0].field.as_str(), failures[1].field.as_str()), ("text", "id"));
    assert!(last.timings.unwrap().store.unwrap().nanos > 0 && last.timings.unwrap().infer.unwrap().nanos > 0);
    assert!(replies.len() >= 4, "a reply after each batch: {}", replies.len());
    assert!(replies.windows(2).all(|pair| pair[0].settled <= pair[1].settled));
    assert_eq!(served.ids(100).await.len(), 33);
}

#[tokio::test]
async fn a_question_that_only_the_encoder_refuses_is_found_out() {
    let mut served = served_in_batches_of(10).await;
    let mut questions = numbered(0..25);
    questions[13].text = encoder::REFUSED.to_owned();
    let (replies, end) = send(&mut served, vec![message("faq", questions)]).await;
    end.unwrap();
    let last = replies.last().unwrap();
    assert_eq!((last.settled, last.inserted, last.failed), (25, 24, 1));
    let failures: Vec<_> = replies.iter().flat_map(|reply| &reply.failures).collect();
    assert_eq!((failures[0].position, failures[0].id.as_str()), (13, "n00013"));
    assert_eq!(failures[0].reason, "text: expected another one, received this one");
}

#[tokio::test]
async fn sending_the_same_again_updates() {
    let mut served = served_in_batches_of(8).await;
    send(&mut served, vec![message("faq", numbered(0..20))]).await.1.unwrap();
    let (replies, end) = send(&mut served, vec![message("faq", numbered(10..30))]).await;
    end.unwrap();
    let last = replies.last().unwrap();
    assert_eq!((last.settled, last.inserted, last.updated), (20, 10, 10));
}

#[tokio::test]
async fn a_sender_that_waits_for_its_answer_gets_it() {
    let mut served = served_in_batches_of(100).await;
    let (sender, messages) = mpsc::channel(1);
    let replies = served.client.questions.bulk_upsert_questions(ReceiverStream::new(messages)).await;
    let mut replies = replies.unwrap().into_inner();
    for i in 0..3 {
        sender.send(message("faq", numbered(i..i + 1))).await.unwrap();
        let reply = tokio::time::timeout(Duration::from_secs(5), replies.message()).await.unwrap();
        assert_eq!(reply.unwrap().unwrap().settled, i as u64 + 1);
    }
    drop(sender);
    drain(replies).await.1.unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_the_error_that_concerns_all_of_it() {
    let mut served = Served::with_bank().await;
    let (_, end) = send(&mut served, vec![]).await;
    assert_status(end, Code::InvalidArgument, "a first message with the bank's name");
    let (_, end) = send(&mut served, vec![message("", numbered(0..1))]).await;
    assert_status(end, Code::InvalidArgument, "bank name");
    let (_, end) = send(&mut served, vec![message("none", numbered(0..1))]).await;
    assert_status(end, Code::NotFound, "bank `none` was not found");
    let (_, end) = send(&mut served, vec![message("faq", numbered(0..1)), message("other", numbered(1..2))]).await;
    assert_status(end, Code::InvalidArgument, "one bank for the whole stream, `faq`, received `other`");
    let (replies, end) = send(&mut served, vec![message("faq", vec![])]).await;
    end.unwrap();
    let [reply] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!((reply.settled, reply.failed, reply.failures.len()), (0, 0, 0));
}

/// How far a stream says that it came.
fn settled(status: &Status) -> u64 {
    status.get_error_details().error_info().unwrap().metadata["settled"].parse().unwrap()
}

#[tokio::test]
async fn what_ends_a_stream_leaves_what_came_before() {
    let options = ServerOptions { bulk_batch: 100, max_message_bytes: 64 << 10, ..options() };
    let mut served = Served::start_with(options).await;
    served.create("faq").await.unwrap();
    let mut large = numbered(7..8);
    large[0].answer = Some("x".repeat(70 << 10));
    let messages = vec![message("faq", numbered(0..7)), message("", large), message("", numbered(8..9))];
    let (replies, end) = send(&mut served, messages).await;
    assert_eq!((replies.last().unwrap().settled, replies.last().unwrap().inserted), (7, 7));
    let status = end.unwrap_err();
    assert_eq!(settled(&status), 7);
    assert_status(Err::<(), _>(status), Code::OutOfRange, "message: expected at most 65536 bytes, received 71");
    assert_eq!(served.ids(100).await.len(), 7);

    let messages = vec![message("faq", numbered(20..25)), message("other", numbered(25..26))];
    let (replies, end) = send(&mut served, messages).await;
    assert_eq!(replies.last().unwrap().settled, 5);
    let status = end.unwrap_err();
    assert_eq!((settled(&status), status.code()), (5, Code::InvalidArgument));
    assert_eq!(served.ids(100).await.len(), 12);
}

#[tokio::test]
async fn what_could_not_be_written_is_never_acknowledged() {
    let mut served = served_in_batches_of(4).await;
    let (sender, messages) = mpsc::channel(8);
    let replies = served.client.questions.bulk_upsert_questions(ReceiverStream::new(messages)).await.unwrap();
    let mut replies = replies.into_inner();
    sender.send(message("faq", numbered(0..4))).await.unwrap();
    assert_eq!(replies.message().await.unwrap().unwrap().settled, 4);
    let delete = proto::DeleteBankRequest { name: "faq".to_owned(), allow_missing: false };
    served.client.banks.delete_bank(delete).await.unwrap();
    let mut questions = numbered(4..10);
    questions[1].text = String::new();
    sender.send(message("faq", questions)).await.unwrap();
    drop(sender);
    let (rest, end) = drain(replies).await;
    let status = end.unwrap_err();
    assert_eq!((settled(&status), status.code()), (4, Code::NotFound));
    assert!(rest.iter().all(|reply| reply.settled == 4 && reply.failures.is_empty()), "{rest:?}");
}

#[tokio::test]
async fn who_does_not_read_the_replies_gives_the_place_to_others() {
    let options = ServerOptions { max_streams: 1, bulk_batch: 1, stream_idle: Duration::from_millis(300), ..options() };
    let mut served = Served::start_with(options).await;
    served.create("faq").await.unwrap();
    let (sender, messages) = mpsc::channel(1);
    let stream = ReceiverStream::new(messages);
    let _unread = served.client.questions.bulk_upsert_questions(stream).await.unwrap();
    let mut long = numbered(0..1);
    long[0].id = "x".repeat(500);
    long[0].text = String::new(); // so that each reply is large
    tokio::spawn(async move { while sender.send(message("faq", vec![long[0].clone(); 100])).await.is_ok() {} });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    let mut client = crate::harness::connect(served.address).await;
    loop {
        let asked = client.questions.bulk_upsert_questions(tokio_stream::iter([message("faq", numbered(1..2))])).await;
        match asked {
            Ok(replies) => return drain(replies.into_inner()).await.1.unwrap(),
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
        }
        assert!(std::time::Instant::now() < give_up, "the place is held by who does not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn enormous_ids_and_many_failures_fit_into_replies() {
    let options = ServerOptions { bulk_batch: 300, max_message_bytes: 1 << 20, ..options() };
    let mut served = Served::start_with(options).await;
    served.create("faq").await.unwrap();
    let mut questions = numbered(0..3000);
    questions.iter_mut().for_each(|question| question.id = "长".repeat(300));
    let mut messages: Vec<_> = questions.chunks(500).map(|part| message("faq", part.to_vec())).collect();
    let enormous = proto::Question { id: "x".repeat(900_000), text: "问".to_owned(), ..Default::default() };
    messages.push(message("", vec![enormous]));
    messages.push(message("", numbered(0..1)));
    let (replies, end) = send(&mut served, messages).await;
    end.unwrap();
    let last = replies.last().unwrap();
    assert_eq!((last.settled, last.failed, last.inserted), (3002, 3001, 1));
    let failures: Vec<_> = replies.iter().flat_map(|reply| &reply.failures).collect();
    assert!(failures.iter().map(|failure| failure.position).eq(0..3001));
    for failure in failures {
        assert!(failure.id.len() <= 512 && failure.reason.len() < 1000 && failure.field == "id", "{failure:?}");
    }
    for pair in replies.windows(2) {
        let reported: u64 = pair[1].failures.iter().map(|failure| failure.position + 1).max().unwrap_or(0);
        assert!(reported <= pair[1].settled || pair[1].settled == pair[0].settled);
    }
}

#[tokio::test]
async fn a_stream_without_messages_gives_its_place_to_others() {
    let options = ServerOptions { max_streams: 1, stream_idle: Duration::from_millis(100), ..options() };
    let mut served = Served::start_with(options).await;
    served.create("faq").await.unwrap();
    for first in [vec![], vec![message("faq", numbered(0..3))]] {
        let sent = first.len() as u64 * 3;
        let (sender, messages) = mpsc::channel(1);
        let replies = served.client.questions.bulk_upsert_questions(ReceiverStream::new(messages)).await.unwrap();
        for message in first {
            sender.send(message).await.unwrap();
        }
        let (_, end) = tokio::time::timeout(Duration::from_secs(10), drain(replies.into_inner())).await.unwrap();
        let status = end.unwrap_err();
        assert_eq!((settled(&status), status.code()), (sent, Code::Unavailable));
        assert!(status.message().contains("no message came on the stream for 0.1 s"), "{status}");
    }
    send(&mut served, vec![message("faq", numbered(0..1))]).await.1.unwrap();
}

#[tokio::test]
async fn too_many_streams_are_turned_away() {
    let mut served = Served::start_with(ServerOptions { max_streams: 1, ..options() }).await;
    served.create("faq").await.unwrap();
    let (sender, messages) = mpsc::channel(1);
    let first = served.client.questions.bulk_upsert_questions(ReceiverStream::new(messages)).await.unwrap();
    let (_, end) = send(&mut served, vec![message("faq", numbered(0..1))]).await;
    assert_status(end, Code::ResourceExhausted, "the list of bulk streams is full (1 at once by");
    sender.send(message("faq", numbered(0..1))).await.unwrap();
    drop(sender);
    drain(first.into_inner()).await.1.unwrap();
    send(&mut served, vec![message("faq", numbered(0..1))]).await.1.unwrap();
}

#[tokio::test]
async fn shutting_down_amid_a_stream_loses_nothing_acknowledged() {
    let mut served = served_in_batches_of(16).await;
    let (sender, messages) = mpsc::channel(2);
    let replies = served.client.questions.bulk_upsert_questions(ReceiverStream::new(messages)).await.unwrap();
    let mut replies = replies.into_inner();
    let feeding = tokio::spawn(async move {
        for i in 0.. {
            if sender.send(message("faq", numbered(i * 16..(i + 1) * 16))).await.is_err() {
                return;
            }
        }
    });
    let first = replies.message().await.unwrap().unwrap();
    assert!(first.settled > 0);
    let folder = served.folder.clone();
    let running = served.begin_stop();
    let (rest, end) = tokio::time::timeout(Duration::from_secs(10), drain(replies)).await.unwrap();
    assert_status(end, Code::Unavailable, "shutting down; go on after the last `settled`");
    feeding.await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap().unwrap();

    let settled = rest.last().unwrap_or(&first).settled as usize;
    let mut again = Served::start_in(folder, options()).await;
    let ids = again.ids(1000).await;
    let acknowledged: Vec<_> = numbered(0..settled).into_iter().map(|question| question.id).collect();
    assert!(ids.len() >= settled && ids[..settled] == acknowledged, "{} of {settled}", ids.len());
}
