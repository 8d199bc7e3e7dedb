//! The binary with a real model. Returns at once where there is none, or no ONNX Runtime.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use simbert::server::proto;
use tempfile::TempDir;

use crate::harness::{connect, model};
use crate::http::Http;

fn runtime_is_there() -> bool {
    std::env::var_os("ORT_DYLIB_PATH").is_some()
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/onnxruntime").is_dir()
}

#[tokio::test]
async fn the_binary_serves_a_model_and_stops_on_sigterm() {
    let Some(model) = model().filter(|_| runtime_is_there()) else { return };
    simbert::onnx::export(&simbert::model::ModelDirectory::open(&model).unwrap()).unwrap();
    let data = TempDir::new().unwrap();
    let port = data.path().join("http-port");
    let mut child = Command::new(env!("CARGO_BIN_EXE_simbert"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--http-port-file"])
        .arg(&port)
        .args(["--log-format", "json", "--slow-call", "0", "--data"])
        .arg(data.path())
        .arg("--model")
        .arg(&model)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = child.stderr.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.strip_prefix("listening")?.split_whitespace().next()?.to_owned()));
    let mut client = connect(address.unwrap().parse().unwrap()).await;
    let create = proto::CreateBankRequest { name: "faq".to_owned(), ..Default::default() };
    client.banks.create_bank(create).await.unwrap();
    let questions = crate::harness::questions();
    client
        .questions
        .upsert_questions(proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions })
        .await
        .unwrap();
    let sampling = Some(proto::Sampling { samples: Some(16), ..Default::default() });
    let generate =
        proto::GenerateRequest { text: "手机没有信号怎么办".to_owned(), sampling, ..Default::default() };
    let once = client.paraphrases.generate(generate.clone()).await.unwrap().into_inner();
    let twice = client.paraphrases.generate(generate).await.unwrap().into_inner();
    assert_eq!(once.paraphrases, twice.paraphrases, "the same seed gives the same questions");
    let expand = proto::ExpandedSearchRequest {
        bank: "faq".to_owned(),
        text: "手机没信号".to_owned(),
        sampling,
        ..Default::default()
    };
    let expanded = client.search.expanded_search(expand).await.unwrap().into_inner();
    assert_eq!(expanded.hits[0].question.as_ref().unwrap().id, "q4");

    let port: u16 = std::fs::read_to_string(&port).unwrap().trim().parse().unwrap();
    let http = Http((Ipv4Addr::LOCALHOST, port).into());
    let found = http.post("/v1/banks/faq/search", r#"{"query": {"text": "手机没有信号怎么办"}}"#).await.ok();
    assert_eq!(found["hits"][0]["question"]["id"], "q4");
    let model = http.get("/v1/model").await;
    let id = model.headers["x-request-id"].clone();
    assert_eq!(model.ok()["dimension"], 384);

    // The system's own `kill`, since the standard library sends SIGKILL only.
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = tokio::time::timeout(Duration::from_secs(20), tokio::task::spawn_blocking(move || child.wait()));
    assert!(ended.await.unwrap().unwrap().unwrap().success());
    assert!(lines.any(|line| line.starts_with("stopped")));
    let log: Vec<_> = BufReader::new(log).lines().map_while(Result::ok).collect();
    let log =
        log.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}")));
    let ends: Vec<_> = log.filter(|line| line["span"]["request_id"] == id).collect();
    assert_eq!((ends.len(), &ends[0]["message"]), (1, &"slow call".into()), "{ends:?}");
}
