//! What monitoring sees.

use std::collections::HashMap;
use std::time::Duration;

use simbert::server::ServerOptions;
use tonic::Code;

use super::client::Http;
use super::served;
use crate::encoder;
use crate::harness::{Served, assert_status, http_options};

/// Values by name and labels, as they are written.
async fn measures(http: Http) -> HashMap<String, f64> {
    let answer = http.get("/metrics").await;
    assert_eq!((answer.status, &answer.headers["content-type"][..]), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let lines = answer.text().lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    };
    lines.map(parse).collect()
}

/// The one that starts with `name` and has `label` in it.
#[track_caller]
fn find(measures: &HashMap<String, f64>, name: &str, label: &str) -> f64 {
    let found: Vec<_> = measures.iter().filter(|(key, _)| key.starts_with(name) && key.contains(label)).collect();
    assert_eq!(found.len(), 1, "{name} {label}: {found:?} of {measures:#?}");
    *found[0].1
}

#[tokio::test]
async fn calls_are_counted_by_name_and_code() {
    let (served, http) = served().await;
    let search = r#"{"query": {"text": "手机"}}"#;
    for _ in 0..3 {
        http.post("/v1/banks/faq/search", search).await.ok();
    }
    http.post("/v1/banks/nobody/search", search).await.assert_error(404, "NOT_FOUND", "nobody");
    let mut client = tonic::client::Grpc::new(served.client.channel());
    for i in 0..20 {
        client.ready().await.unwrap();
        let path = format!("/simbert.v1.SearchService/Guess{i}").parse().unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let unknown = client.unary(tonic::Request::new(()), path, codec).await;
        assert_status(unknown, Code::Unimplemented, "");
    }
    let measures = measures(http).await;
    let count = |label: &str| find(&measures, "simbert_call_duration_seconds_count", label);
    let search = r#"service="simbert.v1.SearchService",method="Search""#;
    assert_eq!(count(&format!(r#"{search},code="OK""#)), 3.0);
    assert_eq!(count(&format!(r#"{search},code="NOT_FOUND""#)), 1.0);
    assert_eq!(count(r#"method="UpsertQuestions""#), 1.0);
    assert_eq!(count(r#"service="other",method="other",code="UNIMPLEMENTED""#), 20.0);
    assert!(!measures.keys().any(|name| name.contains("Guess")));
    let bucket = |end: &str| {
        find(&measures, "simbert_call_duration_seconds_bucket", &format!(r#"{search},code="OK",le="{end}""#))
    };
    assert!(bucket("10") == 3.0 && bucket("+Inf") == 3.0 && bucket("0.0001") <= 3.0);
    for call in ["Search", "UpsertQuestions", "CreateBank"] {
        assert_eq!(find(&measures, "simbert_calls_in_flight", &format!(r#"method="{call}""#)), 0.0, "{call}");
    }
    assert_eq!(find(&measures, "simbert_stage_duration_seconds_count", "search"), 3.0);
    assert_eq!(find(&measures, "simbert_stage_duration_seconds_count", "infer"), 3.0);
}

#[tokio::test]
async fn what_runs_waits_and_is_refused_shows() {
    let options = ServerOptions { max_concurrent: 1, max_waiting: 1, ..http_options() };
    let served = Served::start_with(options).await;
    let http = Http(served.http.unwrap());
    let body = serde_json::json!({ "texts": [encoder::SLOW] }).to_string();
    let ask = || {
        let body = body.clone();
        tokio::spawn(async move { http.post("/v1/embed", &body).await.status })
    };
    let calls = [ask(), ask()];
    tokio::time::sleep(encoder::SLOWNESS / 4).await;
    assert_eq!(ask().await.unwrap(), 429);
    let during = measures(http).await;
    assert_eq!(find(&during, "simbert_calls_running", ""), 1.0);
    assert_eq!(find(&during, "simbert_calls_waiting", ""), 1.0);
    assert_eq!(find(&during, "simbert_calls_in_flight", "Embed"), 2.0);
    assert_eq!(find(&during, "simbert_calls_refused_total", ""), 1.0);
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    let after = measures(http).await;
    assert_eq!(find(&after, "simbert_calls_running", ""), 0.0);
    assert_eq!(find(&after, "simbert_calls_in_flight", "Embed"), 0.0);
    assert!(find(&after, "simbert_stage_duration_seconds_sum", "queue") > 0.2, "the second waited");
}

#[tokio::test]
async fn a_caller_who_leaves_is_counted_too() {
    let (served, http) = served().await;
    let mut client = served.client.embedding.clone();
    let request = simbert::server::proto::EmbedRequest { texts: vec![encoder::SLOW.to_owned()] };
    let call = tokio::spawn(async move { client.embed(request).await });
    tokio::time::sleep(encoder::SLOWNESS / 4).await;
    call.abort();
    tokio::time::sleep(encoder::SLOWNESS / 4).await;
    let measures = measures(http).await;
    assert_eq!(find(&measures, "simbert_call_duration_seconds_count", r#"method="Embed",code="CANCELLED""#), 1.0);
    assert_eq!(find(&measures, "simbert_calls_in_flight", "Embed"), 0.0);
}

#[tokio::test]
async fn banks_the_process_and_connections_are_measured() {
    let (mut served, http) = served().await;
    served.create("empty").await.unwrap();
    let measures = measures(http).await;
    assert_eq!(find(&measures, "simbert_banks", ""), 2.0);
    assert_eq!(find(&measures, "simbert_bank_questions", r#"bank="faq""#), 5.0);
    assert_eq!(find(&measures, "simbert_bank_questions", r#"bank="empty""#), 0.0);
    assert_eq!(find(&measures, "simbert_bank_waiting_vectors", r#"bank="faq""#), 5.0);
    assert_eq!(find(&measures, "simbert_bank_segments", r#"bank="faq""#), 0.0);
    let disk = |bank: &str| find(&measures, "simbert_bank_disk_bytes", bank);
    assert!(disk("faq") > 0.0);
    assert_eq!(find(&measures, "simbert_store_bytes", ""), disk("faq") + disk("empty"));
    assert_eq!(find(&measures, "simbert_model_info", r#"fingerprint="fake""#), 1.0);
    assert_eq!(find(&measures, "simbert_encoder_queue_texts", ""), 0.0);
    assert_eq!(find(&measures, "simbert_connections", "grpc"), 1.0);
    for name in
        ["vector_cache_hits_total", "vector_cache_misses_total", "vector_cache_bytes", "vector_cache_capacity_bytes"]
    {
        assert_eq!(find(&measures, &format!("simbert_{name}"), ""), 0.0, "{name}");
    }
    let resident = find(&measures, "process_resident_memory_bytes", "");
    assert!((1e6..1e12).contains(&resident), "{resident}");
    assert!(find(&measures, "process_open_fds", "") > 3.0);
    assert!(find(&measures, "process_max_fds", "") > 3.0);
    assert!(find(&measures, "process_cpu_seconds_total", "") > 0.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - find(&measures, "process_start_time_seconds", "");
    assert!((-2.0..3600.0).contains(&age), "{age}");
}

#[tokio::test]
async fn two_servers_of_one_process_count_apart() {
    let (_one, one) = served().await;
    let (_two, two) = served().await;
    one.get("/v1/model").await.ok();
    let measures = (measures(one).await, measures(two).await);
    assert!(measures.0.keys().any(|name| name.contains("GetModel")));
    assert!(!measures.1.keys().any(|name| name.contains("GetModel")));
}

#[tokio::test]
async fn it_is_alive_and_ready_until_it_stops() {
    let (served, http) = served().await;
    assert_eq!(http.get("/healthz").await.ok()["alive"], true);
    assert_eq!(http.get("/readyz").await.ok()["ready"], true);
    std::fs::rename(served.folder.path().join("banks"), served.folder.path().join("hidden")).unwrap();
    assert_eq!(http.get("/readyz").await.status, 503);
    std::fs::rename(served.folder.path().join("hidden"), served.folder.path().join("banks")).unwrap();
    assert_eq!(http.get("/readyz").await.status, 200);

    // A call that holds the end up, and a connection that was there before.
    let mut kept = tokio::net::TcpStream::connect(http.0).await.unwrap();
    let body = serde_json::json!({ "texts": [encoder::SLOW] }).to_string();
    let call = tokio::spawn(async move { http.post("/v1/embed", &body).await.status });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let running = served.begin_stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    use tokio::io::AsyncReadExt as _;
    assert_eq!(kept.read(&mut [0; 10]).await.unwrap_or(0), 0, "an idle connection is closed at once");
    assert!(tokio::net::TcpStream::connect(http.0).await.is_err(), "nobody is let in any more");
    assert_eq!(call.await.unwrap(), 200, "a call that runs is answered");
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn banks_are_opened_before_it_is_ready_if_asked() {
    let (served, _) = served().await;
    let folder = served.stop().await;
    std::fs::create_dir(folder.path().join("banks/broken")).unwrap();
    std::fs::write(folder.path().join("banks/broken/bank.json"), "{").unwrap();
    let served = Served::start_in(folder, ServerOptions { open_banks: true, ..http_options() }).await;
    let http = Http(served.http.unwrap());
    let mut tries = 0;
    while http.get("/readyz").await.status != 200 {
        tries += 1;
        assert!(tries < 500, "it never gets ready");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let faq = http.get("/v1/banks/faq").await.ok();
    assert_ne!(faq["bank"]["indexBytes"], "0", "it is open already");
}
