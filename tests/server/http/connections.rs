//! Peers that are slow, silent or many.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use simbert::server::{ServerOptions, proto};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use super::client::Http;
use crate::harness::{Served, assert_status, connect, http_options};

const SHORT: Duration = Duration::from_millis(300);

/// A server that waits for nobody for long.
async fn impatient() -> Served {
    Served::start_with(ServerOptions { header_timeout: SHORT, idle_timeout: SHORT, ..http_options() }).await
}

/// Writes a byte now and then, and says how long it took the server to close the connection.
async fn trickle(address: SocketAddr, bytes: &[u8]) -> Duration {
    trickle_after(address, b"", bytes).await
}

/// The same after what is written at once.
async fn trickle_after(address: SocketAddr, head: &[u8], bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head).await.unwrap();
    let started = Instant::now();
    let mut bytes = bytes.iter().cycle();
    let mut buffer = [0; 1024];
    while started.elapsed() < Duration::from_secs(20) {
        if stream.write_all(&[*bytes.next().unwrap()]).await.is_err() {
            return started.elapsed();
        }
        if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(SHORT / 10, stream.read(&mut buffer)).await {
            return started.elapsed();
        }
    }
    panic!("the connection was never closed");
}

#[tokio::test]
async fn slow_headers_and_slow_hellos_end_the_connection() {
    let served = impatient().await;
    let headers = b"GET /v1/banks HTTP/1.1\r\nhost: x\r\nx-slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let (http, grpc) = (served.http.unwrap(), served.address);
    let (a, b, c) = tokio::join!(trickle(http, headers), trickle(http, preface), trickle(grpc, preface));
    for (what, took) in [("headers", a), ("hello", b), ("hello to gRPC", c)] {
        assert!(took < SHORT * 5, "{what}: {took:?}");
    }
    connect(grpc).await.banks.list_banks(proto::ListBanksRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_body_that_never_comes_is_a_timeout() {
    let served = impatient().await;
    let request = "POST /v1/embed HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
        content-length: 100\r\n\r\n{";
    let answer = Http(served.http.unwrap()).raw(request.as_bytes()).await.unwrap();
    answer.assert_error(408, "DEADLINE_EXCEEDED", "body: expected more of it within 300ms");
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_a_timeout() {
    let served = impatient().await;
    let head = b"POST /v1/embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n";
    let took = trickle_after(served.http.unwrap(), head, b" ").await;
    assert!(took > SHORT * 5 && took < SHORT * 20, "{took:?}");
}

#[tokio::test]
async fn a_call_whose_message_never_comes_ends() {
    let served = impatient().await;
    let mut client = tonic::client::Grpc::new(connect(served.address).await.channel());
    client.ready().await.unwrap();
    let never = tokio_stream::pending::<proto::EmbedRequest>();
    let codec = tonic_prost::ProstCodec::<proto::EmbedRequest, proto::EmbedResponse>::default();
    let path = "/simbert.v1.EmbeddingService/Embed".parse().unwrap();
    let started = Instant::now();
    let answer = client.client_streaming(tonic::Request::new(never), path, codec).await;
    assert_status(answer, Code::DeadlineExceeded, "the rest of the request did not come within 300ms");
    assert!(started.elapsed() < SHORT * 10, "{:?}", started.elapsed());
}

#[tokio::test]
async fn large_headers_are_refused() {
    let served = impatient().await;
    let http = Http(served.http.unwrap());
    let large = "x".repeat(100 << 10);
    let answer = http.raw(format!("GET /v1/banks HTTP/1.1\r\nhost: x\r\nx-large: {large}\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.unwrap().status, 431);
    let many = "x-a: b\r\n".repeat(1000);
    let answer = http.raw(format!("GET /v1/banks HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await;
    assert_eq!(answer.unwrap().status, 431);
    let mut request = tonic::Request::new(proto::ListBanksRequest {});
    request.metadata_mut().insert("x-large", large.parse().unwrap());
    let mut client = served.client.clone();
    assert!(client.banks.list_banks(request).await.is_err());
    client.banks.list_banks(proto::ListBanksRequest {}).await.unwrap();
}

#[tokio::test]
async fn idle_connections_are_closed_and_those_in_use_are_not() {
    let mut served = impatient().await;
    let mut idle = TcpStream::connect(served.http.unwrap()).await.unwrap();
    idle.write_all(b"GET /v1/banks HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(SHORT * 10, idle.read_to_end(&mut answer)).await.expect("it should be closed").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    // A client of gRPC has lost its connection by then, and connects anew by itself.
    tokio::time::sleep(SHORT * 2).await;
    served.create("faq").await.unwrap();
    // A stream that says nothing for long keeps its connection.
    let (sender, messages) = tokio::sync::mpsc::channel(4);
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut bulk = connect(served.address).await;
    let mut replies = bulk.questions.bulk_upsert_questions(messages).await.unwrap().into_inner();
    tokio::time::sleep(SHORT * 4).await;
    let questions = crate::harness::questions();
    sender.send(proto::BulkUpsertQuestionsRequest { bank: "faq".to_owned(), questions }).await.unwrap();
    assert_eq!(replies.message().await.unwrap().unwrap().inserted, 5);
    drop(sender);
    assert!(replies.message().await.unwrap().is_some());
    tokio::time::sleep(SHORT * 3).await;
    served.upsert(crate::harness::questions()).await.unwrap();
}

#[tokio::test]
async fn those_who_come_when_all_places_are_taken_wait() {
    let options = ServerOptions { max_connections: 2, header_timeout: SHORT, ..http_options() };
    let served = Served::start_with(options).await;
    let http = served.http.unwrap();
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(http).await.unwrap());
    }
    let started = Instant::now();
    Http(http).get("/v1/banks").await.ok();
    // Behind three pairs of silent ones.
    assert!(started.elapsed() > SHORT && started.elapsed() < SHORT * 10, "{:?}", started.elapsed());
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn a_thousand_idle_connections_take_little_and_hold_nobody_up() {
    let options = ServerOptions { max_connections: 4000, ..http_options() };
    let served = Served::start_with(options).await;
    let before = resident();
    let mut open = Vec::new();
    for i in 0..500 {
        for address in [served.address, served.http.unwrap()] {
            let mut stream = TcpStream::connect(address).await.expect("1,000 connections need 2,000 file descriptors");
            if i % 2 == 0 {
                // HTTP/2's preface and empty settings: a client that is connected, and asks nothing.
                stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            }
            open.push(stream);
        }
    }
    let mut client = served.client.clone();
    client.banks.list_banks(proto::ListBanksRequest {}).await.unwrap();
    Http(served.http.unwrap()).get("/v1/banks").await.ok();
    let each = resident().saturating_sub(before) / open.len();
    assert!(each < 64 << 10, "{each} bytes for each connection");
    drop(open);
    served.stop().await;
}
