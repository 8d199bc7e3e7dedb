//! Callers that mean harm, or have lost their way: the server closes what makes no sense, holds on to little, gives places
//! back, and answers everybody else meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prost::Message as _;
use simbert::server::proto;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::child::{self, Process};
use crate::harness::{assert_status, connect, numbered};
use crate::raw::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GO_AWAY, HEADERS, RESET, Raw, WINDOW, call_headers, frame,
    header, message_head,
};

const EMBED: &str = "/simbert.v1.EmbeddingService/Embed";
const GET: &str = "/simbert.v1.QuestionService/GetQuestions";
const BULK: &str = "/simbert.v1.QuestionService/BulkUpsertQuestions";
/// How long anything may take that is to happen soon.
const SOON: Duration = Duration::from_secs(10);

/// A server to torment, with a bank `faq`; its folder goes with it.
struct Victim {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Victim {
    async fn start(options: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (process, address) = child::server(folder.path(), options);
        let create = proto::CreateBankRequest { name: "faq".to_owned(), ..Default::default() };
        connect(address).await.banks.create_bank(create).await.unwrap();
        let victim = Self { process, address, _folder: folder };
        victim.answers().await;
        victim
    }

    /// Asserts that a caller who means well is answered soon.
    async fn answers(&self) {
        let call = async {
            let texts = vec!["手机".to_owned()];
            connect(self.address).await.embedding.embed(proto::EmbedRequest { texts }).await
        };
        tokio::time::timeout(SOON, call).await.expect("an answer soon").unwrap();
    }

    /// A connection with a bulk stream on which so much was sent.
    async fn begun(&self, sent: &[u8]) -> Raw {
        let mut raw = Raw::greeted(self.address).await;
        raw.call(1, BULK).await.unwrap();
        raw.data(1, sent).await.unwrap();
        raw
    }

    /// Asserts that a bulk stream has a place soon.
    async fn takes_a_stream(&self) {
        let started = Instant::now();
        let mut client = connect(self.address).await.questions;
        loop {
            let message = proto::BulkUpsertQuestionsRequest { bank: "faq".to_owned(), questions: numbered(0..1) };
            let sent = client.bulk_upsert_questions(tokio_stream::iter([message])).await;
            match sent {
                Ok(replies) => {
                    assert_eq!(replies.into_inner().message().await.unwrap().unwrap().settled, 1);
                    return;
                }
                full => assert_status(full.map(drop), Code::ResourceExhausted, "bulk streams is full"),
            }
            assert!(started.elapsed() < SOON, "the place is not given back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn what_is_no_http2_is_closed() {
    let victim = Victim::start("").await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let nonsense: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let inputs = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec(),
        [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], &nonsense[..500]].concat(),
        nonsense.clone(),
        [&preface[..], &nonsense].concat(),
        [&preface[..], &frame(HEADERS, END_HEADERS, 1, &nonsense[..1000])].concat(),
        [&preface[..], &frame(DATA, 0, 1, b"before any header")].concat(),
        [&preface[..], &[0xff; 9]].concat(),
    ];
    for input in inputs {
        let mut raw = Raw::connect(victim.address).await;
        raw.write(&input).await.unwrap();
        assert!(raw.is_closed(SOON).await, "{:?}", &input[..40.min(input.len())]);
        victim.answers().await;
    }
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let victim = Victim::start("").await;
    let before = victim.process.resident();
    let mut raw = Raw::greeted(victim.address).await;
    raw.frame(HEADERS, 0, 1, &call_headers(EMBED)).await.unwrap();
    let more = header("x-more", &"x".repeat(16_000));
    let mut sent = 0;
    while sent < 64 << 20 && raw.frame(CONTINUATION, 0, 1, &more).await.is_ok() {
        sent += more.len();
    }
    assert!(sent < 64 << 20, "the server read all of it");
    let mut raw = Raw::greeted(victim.address).await;
    raw.frame(HEADERS, 0, 1, &call_headers(EMBED)).await.unwrap();
    raw.frame(CONTINUATION, 0, 1, &header("x-a", &"x".repeat(16_000))).await.unwrap();
    raw.frame(CONTINUATION, END_HEADERS, 1, &header("x-b", &"x".repeat(16_000))).await.unwrap();
    let refused = |frame: &Frame| matches!(frame.kind, HEADERS | RESET | GO_AWAY);
    assert!(raw.reads(SOON, refused).await, "headers above the limit are refused");
    victim.answers().await;
    let grown = victim.process.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[tokio::test]
async fn half_a_stream_gives_its_place_back() {
    let victim = Victim::start("max_streams=1").await;
    let whole = [&message_head(7)[..], b"\x0a\x03faq\x12\x00"].concat();
    for cut in [0, 3, 5, 8, whole.len()] {
        // The stream ends amid a message.
        let mut raw = victim.begun(&[]).await;
        raw.frame(DATA, END_STREAM, 1, &whole[..cut]).await.unwrap();
        assert!(raw.reads(SOON, |frame| frame.kind == HEADERS && frame.stream == 1).await, "cut at {cut}");
        victim.takes_a_stream().await;
        // The connection's sending half ends amid a message.
        let mut raw = victim.begun(&whole[..cut]).await;
        tokio::io::AsyncWriteExt::shutdown(&mut raw.out).await.unwrap();
        victim.takes_a_stream().await;
        // The stream is reset, and the connection with all that is in it.
        let mut raw = victim.begun(&whole[..cut]).await;
        raw.frame(RESET, 0, 1, &8u32.to_be_bytes()).await.unwrap();
        victim.takes_a_stream().await;
        let raw = victim.begun(&whole[..cut]).await;
        raw.out.as_ref().set_zero_linger().unwrap(); // so that closing it is a reset
        drop(raw);
        victim.takes_a_stream().await;
    }
}

#[tokio::test]
async fn a_trickle_holds_up_nobody() {
    let victim = Victim::start("").await;
    let before = victim.process.resident();
    let mut callers = JoinSet::new();
    for i in 0..120 {
        let address = victim.address;
        callers.spawn(async move {
            let mut raw = if i % 3 == 0 { Raw::connect(address).await } else { Raw::greeted(address).await };
            let path = if i % 3 == 1 { EMBED } else { BULK };
            let bytes = match i % 3 {
                0 => b"PRI * HTTP/2.0\r\n\r\n".to_vec(),
                _ => frame(HEADERS, END_HEADERS, 1, &call_headers(path)),
            };
            for byte in bytes.into_iter().chain(std::iter::repeat(0)).take(2000) {
                let byte = if i % 3 == 0 || byte != 0 { vec![byte] } else { frame(DATA, 0, 1, &[0]) };
                if raw.write(&byte).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        victim.answers().await;
    }
    let grown = victim.process.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
    callers.shutdown().await;
    victim.takes_a_stream().await;
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_cost_little() {
    let victim = Victim::start("").await;
    let before = victim.process.resident();
    let mut attackers = JoinSet::new();
    for _ in 0..4 {
        let address = victim.address;
        attackers.spawn(async move {
            let mut raw = Raw::greeted(address).await;
            for stream in (1..20_000).step_by(2) {
                let pair = [
                    frame(HEADERS, END_HEADERS, stream, &call_headers(EMBED)),
                    frame(RESET, 0, stream, &8u32.to_be_bytes()),
                ];
                if raw.write(&pair.concat()).await.is_err() {
                    return;
                }
            }
        });
    }
    for _ in 0..20 {
        victim.answers().await;
    }
    tokio::time::timeout(Duration::from_secs(60), attackers.join_all()).await.unwrap();
    victim.answers().await;
    let grown = victim.process.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
    let busy = victim.process.busy();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(victim.process.busy() - busy < Duration::from_millis(200), "work goes on for nobody");
}

#[tokio::test]
async fn who_makes_streams_fail_again_and_again_is_told_to_calm_down() {
    let victim = Victim::start("").await;
    let mut raw = Raw::greeted(victim.address).await;
    let malformed = [call_headers(EMBED), header("connection", "is an error of the stream")].concat();
    for stream in (1..4000).step_by(2) {
        if raw.frame(HEADERS, END_HEADERS, stream, &malformed).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_micros(100)).await; // for what comes back to be read
    }
    let calm = |frame: &Frame| frame.kind == GO_AWAY && frame.payload[4..8] == 11u32.to_be_bytes();
    assert!(raw.reads(SOON, calm).await, "expected ENHANCE_YOUR_CALM");
    victim.answers().await;
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_little() {
    let most = child::open_files().saturating_sub(1000).min(9_900);
    let victim = Victim::start("").await;
    let before = victim.process.resident();
    let mut idle = Vec::new();
    for i in 0..most {
        let greeted = async {
            match i % 2 {
                0 => Raw::connect(victim.address).await,
                _ => Raw::greeted(victim.address).await,
            }
        };
        idle.push(tokio::time::timeout(SOON, greeted).await.expect("a connection soon"));
    }
    victim.answers().await;
    let grown = victim.process.resident().saturating_sub(before);
    assert!(grown / most.max(1) < 48 << 10, "{grown} bytes for {most} connections");
    drop(idle);
    victim.answers().await;
}

#[tokio::test]
async fn a_system_without_files_is_waited_for() {
    let victim = Victim::start("files=100").await;
    let mut callers = Vec::new();
    for _ in 0..200 {
        callers.push(Raw::connect(victim.address).await); // the system takes them, the server cannot
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let busy = victim.process.busy();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let busy = victim.process.busy() - busy;
    assert!(busy < Duration::from_millis(300), "busy for {busy:?} of a second");
    drop(callers);
    victim.answers().await;
}

#[tokio::test]
async fn what_is_received_but_not_answered_is_bounded() {
    const MIB: usize = 1 << 20;
    let victim = Victim::start(&format!("max_message_bytes={} max_received_bytes={}", 4 * MIB, 8 * MIB)).await;
    let mut callers = Vec::new();
    for _ in 0..24 {
        let mut raw = Raw::greeted(victim.address).await;
        // The windows are of 1 MiB once it has said so.
        assert!(raw.reads(SOON, |frame| frame.kind == WINDOW && frame.stream == 0).await);
        raw.call(1, EMBED).await.unwrap();
        raw.data(1, &message_head(4 * MIB as u32)).await.unwrap();
        raw.data(1, &vec![0; 900 << 10]).await.unwrap();
        callers.push(raw);
    }
    let mut refused = 0;
    for raw in &mut callers {
        refused += usize::from(raw.reads(Duration::from_millis(300), |frame| frame.kind == HEADERS).await);
    }
    assert!((12..24).contains(&refused), "{refused} refused");
    assert!(victim.process.resident() < 200 << 20);
    drop(callers);
    let mut large = numbered(0..12);
    large.iter_mut().for_each(|question| question.answer = Some("x".repeat(250 << 10)));
    let started = Instant::now();
    let mut client = connect(victim.address).await.questions;
    let request = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions: large };
    while let Err(full) = client.upsert_questions(request.clone()).await {
        assert_status(
            Err::<(), _>(full),
            Code::ResourceExhausted,
            "the server's memory for requests is full (8 MiB by",
        );
        assert!(started.elapsed() < SOON, "the memory is not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_becomes_much_more_when_it_is_decoded_is_bounded() {
    const MIB: usize = 1 << 20;
    let victim = Victim::start(&format!("max_message_bytes={} max_received_bytes={}", 4 * MIB, 32 * MIB)).await;
    let before = victim.process.resident();
    let mut client = connect(victim.address).await.questions;
    let questions = vec![proto::Question::default(); MIB]; // two bytes each
    let request = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions };
    let full = client.upsert_questions(request.clone()).await;
    assert_status(full, Code::ResourceExhausted, "the server's memory for requests is full (32 MiB by");
    let stream =
        tokio_stream::iter([proto::BulkUpsertQuestionsRequest { bank: request.bank, questions: request.questions }]);
    let ended = async { client.bulk_upsert_questions(stream).await?.into_inner().message().await };
    assert_status(ended.await, Code::ResourceExhausted, "the server's memory for requests is full (32 MiB by");
    let more = victim.process.resident().saturating_sub(before);
    assert!(more < 64 << 20, "{more} bytes more");
    victim.answers().await;
}

#[tokio::test]
async fn replies_that_nobody_reads_are_bounded_and_given_up() {
    const MIB: usize = 1 << 20;
    let options = format!("max_message_bytes={} max_unread_bytes={} header_milliseconds=300", 4 * MIB, 8 * MIB);
    let victim = Victim::start(&options).await;
    let mut large = numbered(0..12);
    large.iter_mut().for_each(|question| question.answer = Some("x".repeat(250 << 10)));
    let ids = large.iter().map(|question| question.id.clone()).collect();
    let mut client = connect(victim.address).await.questions;
    let request = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions: large };
    client.upsert_questions(request).await.unwrap();

    let request = proto::GetQuestionsRequest { bank: "faq".to_owned(), ids, read_mask: None };
    let encoded = request.encode_to_vec();
    let message = [&message_head(encoded.len() as u32)[..], &encoded].concat();
    let mut callers = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::greeted(victim.address).await;
        raw.call(1, GET).await.unwrap();
        raw.frame(DATA, END_STREAM, 1, &message).await.unwrap();
        assert!(raw.reads(SOON, |frame| frame.kind == DATA && frame.payload.len() > 1000).await);
        callers.push(raw); // which takes no more than the first 64 KiB
    }
    let full = client.get_questions(request.clone()).await;
    assert_status(full, Code::ResourceExhausted, "the server's memory for replies is full (8 MiB by");
    victim.answers().await; // what is small has its place
    assert!(victim.process.resident() < 200 << 20);

    for mut raw in callers {
        assert!(raw.is_closed(SOON).await, "who holds a reply for too long loses the connection");
    }
    assert_eq!(client.get_questions(request).await.unwrap().into_inner().questions.len(), 12);
}

#[tokio::test]
async fn a_client_that_stops_amid_a_stream_is_forgotten() {
    let victim = Victim::start("max_streams=1").await;
    for _ in 0..5 {
        let (sender, messages) = mpsc::channel(1);
        let mut client = connect(victim.address).await.questions;
        let replies = client.bulk_upsert_questions(ReceiverStream::new(messages)).await.unwrap();
        let message = proto::BulkUpsertQuestionsRequest { bank: "faq".to_owned(), questions: numbered(0..10) };
        sender.send(message).await.unwrap();
        drop((replies, sender, client));
        victim.takes_a_stream().await;
    }
}
