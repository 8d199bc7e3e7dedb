//! What the log says of calls, and what it keeps to itself.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use simbert::server::{ServerOptions, proto};
use tonic::{Code, Request};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

use super::client::Http;
use super::served;
use crate::encoder;
use crate::harness::{Served, assert_status, http_options};

/// Lines of the log of this thread, where all of a test runs but for the work behind the gate.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn keep(level: &str) -> (Self, DefaultGuard) {
        let (lines, filter) = (Self::default(), EnvFilter::new(level));
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter);
        (lines, tracing::subscriber::set_default(log.with_writer(move || writer.clone()).finish()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines about ends of calls of this path.
    fn ends(&self, path: &str) -> Vec<Value> {
        let lines: Vec<Value> = self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.into_iter().filter(|line| line["span"]["method"] == path && line.get("code").is_some()).collect()
    }
}

const SEARCH: &str = "/simbert.v1.SearchService/Search";
const EMBED: &str = "/simbert.v1.EmbeddingService/Embed";

#[tokio::test]
async fn a_failed_call_has_a_line_with_the_callers_request_id() {
    let (lines, _log) = Lines::keep("info");
    let (served, http) = served().await;
    let headers = [("content-type", "application/json"), ("x-request-id", "order-7:a")];
    let answer = http.send("POST", "/v1/banks/nobody/search", &headers, br#"{"query": {"text": "x"}}"#).await;
    answer.assert_error(404, "NOT_FOUND", "nobody");
    assert_eq!(answer.headers["x-request-id"], "order-7:a");
    let ends = lines.ends(SEARCH);
    assert_eq!(ends.len(), 1, "{}", lines.text());
    assert_eq!((&ends[0]["level"], &ends[0]["code"]), (&json!("INFO"), &json!("NOT_FOUND")));
    assert_eq!(ends[0]["span"]["request_id"], "order-7:a");
    assert!(ends[0]["span"]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(ends[0]["milliseconds"].as_f64().unwrap() < 10_000.0);

    let request = |text: &str| proto::SearchRequest {
        bank: "faq".to_owned(),
        query: crate::harness::text_query(text),
        options: None,
    };
    let mut client = served.client.search.clone();
    client.search(request("手机")).await.unwrap();
    assert_eq!(lines.ends(SEARCH).len(), 1, "a call that went well has none");
    // Over gRPC, and on errors.
    let mut asked = Request::new(request(" "));
    asked.metadata_mut().insert("x-request-id", "order-8".parse().unwrap());
    let status = client.search(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "order-8");
    assert_eq!(lines.ends(SEARCH)[1]["span"]["request_id"], "order-8");
}

#[tokio::test]
async fn request_ids_that_cannot_be_written_are_replaced() {
    let (_served, http) = served().await;
    let mut seen = Vec::new();
    for id in ["a b", "\"}", &"x".repeat(200), ""] {
        let answer = http.send("GET", "/v1/model", &[("x-request-id", id)], b"").await;
        let made = answer.headers["x-request-id"].clone();
        assert!(made.len() == 32 && made != id, "{made}");
        seen.push(made);
    }
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn a_slow_call_has_a_line_with_its_stages() {
    let (lines, _log) = Lines::keep("info");
    let options = ServerOptions { slow_call: Duration::from_millis(200), max_concurrent: 1, ..http_options() };
    let served = Served::start_with(options).await;
    let http = Http(served.http.unwrap());
    http.post("/v1/embed", r#"{"texts": ["fast"]}"#).await.ok();
    let body = json!({ "texts": [encoder::SLOW] }).to_string();
    let (one, other) = tokio::join!(http.post("/v1/embed", &body), http.post("/v1/embed", &body));
    one.ok();
    other.ok();
    let ends = lines.ends(EMBED);
    assert_eq!(ends.len(), 2, "{}", lines.text());
    assert!(ends.iter().all(|line| line["message"] == "slow call" && line["code"] == "OK"));
    assert!(ends[1]["queue_ms"].as_f64().unwrap() > 200.0, "{}", ends[1]);
    assert!(ends[1].get("search_ms").is_none(), "a stage that did not happen is not there");
}

#[tokio::test]
async fn a_slow_stream_is_not_slow() {
    let (lines, _log) = Lines::keep("debug");
    let mut served = Served::start_with(ServerOptions { slow_call: Duration::from_millis(1), ..http_options() }).await;
    served.create("faq").await.unwrap();
    let take = proto::TakeSnapshotRequest { name: "faq".to_owned() };
    let mut parts = served.client.banks.take_snapshot(take).await.unwrap().into_inner();
    while parts.message().await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ends = lines.ends("/simbert.v1.BankService/TakeSnapshot");
    assert_eq!((ends.len(), &ends[0]["level"], &ends[0]["code"]), (1, &json!("DEBUG"), &json!("OK")), "{ends:?}");
}

#[tokio::test]
async fn neither_texts_nor_keys_are_in_the_log() {
    let (lines, _log) = Lines::keep("debug,simbert=trace");
    let (served, http) = served().await;
    let (secret, key) = ("秘密的问题", "s3cr3t-key");
    let headers = [("content-type", "application/json"), ("authorization", &*format!("Bearer {key}"))];
    let bodies = [
        ("/v1/embed", json!({ "texts": [secret] })),
        ("/v1/embed", json!({ "texts": [secret, encoder::REFUSED, ""] })),
        ("/v1/banks/faq/search", json!({ "query": { "text": secret } })),
        ("/v1/banks/faq/search", json!({ "query": { "text": secret.repeat(1000) } })),
        ("/v1/banks/faq/search:batch", json!({ "queries": [{ "text": secret }], "options": { "k": 0 } })),
        ("/v1/banks/faq/search:expanded", json!({ "text": secret })),
        ("/v1/banks/faq/questions", json!({ "questions": [{ "id": "s", "text": secret, "answer": secret }] })),
        ("/v1/banks/faq/questions", json!({ "questions": [{ "id": "", "text": secret, "answer": secret }] })),
        ("/v1/banks/faq/questions", json!({ "questions": [{ "id": "s", "text": secret, "nothing": secret }] })),
        ("/v1/generate", json!({ "text": secret })),
    ];
    for (path, body) in bodies {
        http.send("POST", path, &headers, body.to_string().as_bytes()).await;
    }
    let mut request = Request::new(proto::EmbedRequest { texts: vec![secret.to_owned(), " ".to_owned()] });
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    assert_status(served.client.embedding.clone().embed(request).await, Code::InvalidArgument, "text");
    served.stop().await;
    let text = lines.text();
    assert!(lines.ends(EMBED).len() >= 3, "the log is kept");
    assert!(!text.contains(secret) && !text.contains("秘密") && !text.contains(key), "{text}");
}
