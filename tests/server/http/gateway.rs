//! JSON in, JSON out.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use simbert::server::{ApiKey, KeyEntry, Role, ServerOptions, proto};
use tempfile::TempDir;

use super::client::Http;
use super::served;
use crate::encoder::{self, FakeWriter};
use crate::harness::{Served, engine, http_options, text_query};

#[tokio::test]
async fn a_bank_is_made_filled_read_and_searched() {
    let served = Served::start_with(http_options()).await;
    let http = Http(served.http.unwrap());
    assert_eq!(http.get("/v1/banks").await.ok(), json!({ "banks": [], "nextPageToken": "" }));
    let made = http.post("/v1/banks", r#"{"name": "faq", "quantisation": "QUANTISATION_INT8"}"#).await.ok();
    assert_eq!((&made["bank"]["name"], &made["bank"]["questions"]), (&json!("faq"), &json!("0")));
    let questions = r#"{"questions": [
        {"id": "q1", "text": "银行卡丢了怎么挂失", "faqId": "card", "metadata": {"price": {"number": 1.5}}},
        {"id": "q2", "text": "怎么重置密码", "faq_id": "password", "answer": "点击“忘记密码”"}
    ]}"#;
    let written = http.post("/v1/banks/faq/questions", questions).await.ok();
    assert_eq!((&written["inserted"], &written["updated"]), (&json!("2"), &json!("0")));
    assert_eq!(http.get("/v1/banks/faq").await.ok()["bank"]["faqs"], "2");

    let query = r#"{"query": {"text": "银行卡丢了怎么挂失"}, "options": {"k": 1}}"#;
    let found = http.post("/v1/banks/faq/search", query).await.ok();
    let hit = &found["hits"][0];
    assert_eq!(hit["question"]["id"], "q1");
    assert_eq!(hit["question"]["faqId"], "card");
    assert_eq!(hit["question"]["metadata"], json!({ "price": { "number": 1.5 } }));
    assert!(hit["score"].as_f64().unwrap() > 0.999);
    assert!(hit.get("phrase").is_none(), "what is optional and absent stays absent");
    assert!(found["timings"]["search"].as_str().unwrap().ends_with('s'));

    let batch = r#"{"queries": [{"text": "密码"}, {"text": "银行卡"}], "options": {"k": 1}}"#;
    let found = http.post("/v1/banks/faq/search:batch", batch).await.ok();
    assert_eq!(found["results"][0]["hits"][0]["question"]["id"], "q2");
    assert_eq!(found["results"][1]["hits"][0]["question"]["id"], "q1");

    let got = http.post("/v1/banks/faq/questions:get", r#"{"ids": ["q2", "q9"]}"#).await.ok();
    assert_eq!(got["questions"][0]["answer"], "点击“忘记密码”");
    assert_eq!(got["missingIds"], json!(["q9"]));

    let page = http.get("/v1/banks/faq/questions?page_size=1").await.ok();
    assert_eq!(page["questions"][0]["id"], "q1");
    let token = page["nextPageToken"].as_str().unwrap();
    let mask = "readMask=id,text";
    let page = http.get(&format!("/v1/banks/faq/questions?pageSize=1&page_token={token}&{mask}")).await.ok();
    assert!(page["questions"][0].get("answer").is_none());
    assert_eq!((&page["questions"][0]["id"], &page["nextPageToken"]), (&json!("q2"), &json!("")));
}

#[tokio::test]
async fn vectors_and_paraphrases_come_as_json() {
    let (served, http) = served().await;
    assert_eq!(http.get("/v1/model").await.ok()["fingerprint"], "fake");
    let embedded = http.post("/v1/embed", r#"{"texts": ["手机", "银行卡"]}"#).await.ok();
    let vectors = embedded["vectors"].as_array().unwrap();
    let length: f64 = vectors[1]["values"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
    assert!(vectors.len() == 2 && (length - 1.0).abs() < 1e-6);
    let query = json!({ "query": { "vector": vectors[0] }, "options": { "k": 2 } }).to_string();
    let found = http.post("/v1/banks/faq/search", &query).await.ok();
    let mut client = served.client.search.clone();
    let request =
        proto::SearchRequest { bank: "faq".to_owned(), query: text_query("手机"), options: Some(Default::default()) };
    let same = client.search(request).await.unwrap().into_inner();
    assert_eq!(found["hits"][0]["question"]["id"], same.hits[0].question.as_ref().unwrap().id);
    assert!((found["hits"][0]["score"].as_f64().unwrap() as f32 - same.hits[0].score).abs() < 1e-5);

    http.post("/v1/generate", r#"{"text": "手机没信号"}"#).await.assert_error(
        400,
        "FAILED_PRECONDITION",
        "has no decoder",
    );
    let folder = served.stop().await;
    let engine = engine(folder.path(), "fake").with_writer(Arc::new(FakeWriter::default()));
    let served = Served::serve(engine, folder, http_options()).await;
    let http = Http(served.http.unwrap());
    let written = http.post("/v1/generate", r#"{"text": "手机没信号", "k": 2}"#).await.ok();
    assert_eq!(written["paraphrases"].as_array().unwrap().len(), 2);
    let expanded = r#"{"text": "手机没信号", "phrases": 2, "maximumScore": {}}"#;
    let found = http.post("/v1/banks/faq/search:expanded", expanded).await.ok();
    assert_eq!(found["phrases"].as_array().unwrap().len(), 2);
    assert!(found["hits"][0]["phrase"].is_string(), "{found}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let (_served, http) = served().await;
    let search = async |body: &str| http.post("/v1/banks/faq/search", body).await;
    search(r#"{"query": {"text": "手机"}, }"#).await.assert_error(
        400,
        "INVALID_ARGUMENT",
        "trailing comma at line 1 column 31",
    );
    search("{\n  \"query\": {\"text\": \"手机\"},\n  \"k\": 3\n}").await.assert_error(
        400,
        "INVALID_ARGUMENT",
        "unrecognized field name 'k' at line 3",
    );
    search(r#"{"options": {"k": "many"}}"#).await.assert_error(400, "INVALID_ARGUMENT", "line 1");
    search("").await.assert_error(400, "INVALID_ARGUMENT", "received nothing");
    search("[]").await.assert_error(400, "INVALID_ARGUMENT", "line 1");
    search("{} {}").await.assert_error(400, "INVALID_ARGUMENT", "trailing characters at line 1 column 4");
    search(&format!("{}{}", r#"{"options":{"filter":"#, r#"{"not":"#.repeat(200))).await.assert_error(
        400,
        "INVALID_ARGUMENT",
        "recursion limit",
    );
    search(r#"{"query": {"text": "手机"}, "options": {"k": 0}}"#).await.assert_error(
        400,
        "INVALID_ARGUMENT",
        "k: expected 1 to 1000, received 0",
    );
    search(r#"{"bank": "other", "query": {"text": "手机"}}"#).await.assert_error(400, "INVALID_ARGUMENT", "`faq`");
    search(r#"{"bank": "faq", "query": {"text": "手机"}}"#).await.ok();
    http.get("/v1/banks/faq/questions?size=3").await.assert_error(400, "INVALID_ARGUMENT", "field name 'size'");
    http.get("/v1/banks/nobody").await.assert_error(404, "NOT_FOUND", "nobody");
    http.get("/v1/banks/..%2Fetc").await.assert_error(400, "INVALID_ARGUMENT", "bank name");
    let ours = http.send("GET", "/v1/bank", &[("x-request-id", "mine")], b"").await;
    assert_eq!(ours.headers["x-request-id"], "mine", "what never becomes a call has an id, too");
    http.get("/v1/bank").await.assert_error(404, "NOT_FOUND", "/openapi.json lists");
    http.post("/v1/banks", r#"{"name": "faq"}"#).await.assert_error(409, "ALREADY_EXISTS", "faq");
    let wrong = http.send("DELETE", "/v1/banks/faq", &[], b"").await;
    wrong.assert_error(405, "UNIMPLEMENTED", "DELETE is not for `/v1/banks/faq`");
    assert!(wrong.headers["allow"].contains("GET"));
    for headers in
        [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/x-www-form-urlencoded")]]
    {
        let answer = http.send("POST", "/v1/embed", headers, br#"{"texts": ["x"]}"#).await;
        answer.assert_error(415, "INVALID_ARGUMENT", "content type: expected `application/json`");
    }
    let utf8 = [("content-type", "Application/JSON; charset=utf-8")];
    http.send("POST", "/v1/embed", &utf8, br#"{"texts": ["x"]}"#).await.ok();
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused() {
    let options = ServerOptions { max_message_bytes: 64 << 10, ..http_options() };
    let served = Served::start_with(options).await;
    let http = Http(served.http.unwrap());
    let body = |bytes: usize| {
        let around = r#"{"texts": ["x"]}"#;
        format!("{around}{}", " ".repeat(bytes - around.len()))
    };
    http.post("/v1/embed", &body(64 << 10)).await.ok();
    let refused = http.post("/v1/embed", &body((64 << 10) + 1)).await;
    refused.assert_error(413, "OUT_OF_RANGE", "expected at most 65536 bytes");
    // The same without a length that could be looked at first.
    let chunk = body((64 << 10) + 1);
    let chunked = format!(
        "POST /v1/embed HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\n{:x}\r\n{chunk}\r\n0\r\n\r\n",
        chunk.len()
    );
    http.raw(chunked.as_bytes()).await.unwrap().assert_error(413, "OUT_OF_RANGE", "expected at most 65536 bytes");
}

#[tokio::test]
async fn bodies_that_take_all_the_room_are_turned_away() {
    let options = ServerOptions { max_message_bytes: 64 << 10, ..http_options() };
    let served = Served::start_with(options).await;
    let http = Http(served.http.unwrap());
    let large = format!("{}{}", json!({ "texts": [encoder::SLOW] }), " ".repeat(60 << 10));
    let asked = [http.post("/v1/embed", &large), http.post("/v1/embed", &large), http.post("/v1/embed", &large)];
    let [one, two, three] = asked;
    let answers = tokio::join!(one, two, three);
    let mut answers = [answers.0, answers.1, answers.2];
    answers.sort_by_key(|answer| answer.status);
    assert_eq!((answers[0].status, answers[1].status), (200, 200));
    answers[2].assert_error(429, "RESOURCE_EXHAUSTED", "memory for JSON is full");
    http.post("/v1/embed", &large).await.ok();
}

#[tokio::test]
async fn a_passed_deadline_is_a_timeout() {
    let (_served, http) = served().await;
    let body = json!({ "texts": [encoder::SLOW] }).to_string();
    let ask = async |timeout: &str| {
        let headers = [("content-type", "application/json"), ("x-timeout-ms", timeout)];
        http.send("POST", "/v1/embed", &headers, body.as_bytes()).await
    };
    let started = Instant::now();
    ask("100").await.assert_error(504, "DEADLINE_EXCEEDED", "the call's deadline passed");
    assert!(started.elapsed() < encoder::SLOWNESS, "{:?}", started.elapsed());
    ask("10000").await.ok();
    for nonsense in ["0", "-5", "soon", "100000000", "1.5"] {
        ask(nonsense).await.assert_error(400, "INVALID_ARGUMENT", "x-timeout-ms: expected 1 to 99999999");
    }
}

#[tokio::test]
async fn a_full_server_says_429() {
    let options = ServerOptions { max_concurrent: 1, max_waiting: 0, ..http_options() };
    let served = Served::start_with(options).await;
    let http = Http(served.http.unwrap());
    let body = json!({ "texts": [encoder::SLOW] }).to_string();
    let (one, other) = tokio::join!(http.post("/v1/embed", &body), http.post("/v1/embed", &body));
    let (done, refused) = if one.status == 200 { (one, other) } else { (other, one) };
    done.ok();
    refused.assert_error(429, "RESOURCE_EXHAUSTED", "the server's waiting room is full");
}

#[tokio::test]
async fn keys_hold_for_json_as_for_grpc() {
    let folder = TempDir::new().unwrap();
    let (reader, keys) = (ApiKey::random().unwrap(), folder.path().join("keys.toml"));
    KeyEntry::new("page", &reader, Role::Read, None).unwrap().append(&keys).unwrap();
    let served = Served::start_with(ServerOptions { keys: Some(keys), ..http_options() }).await;
    let http = Http(served.http.unwrap());
    http.get("/v1/banks").await.assert_error(401, "UNAUTHENTICATED", "key");
    let bearer = format!("Bearer {}", reader.reveal());
    let with_key = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    assert_eq!(http.send("GET", "/v1/banks", &with_key, b"").await.status, 200);
    let refused = http.send("POST", "/v1/banks", &with_key, b"{\"name\": \"faq\"}").await;
    refused.assert_error(403, "PERMISSION_DENIED", "needs a key with the role `admin`");
    assert_eq!(http.get("/healthz").await.status, 200);
    // What comes without a key is not waited for.
    let head = "POST /v1/embed HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
        content-length: 50000\r\n\r\n";
    let started = std::time::Instant::now();
    http.raw(head.as_bytes()).await.unwrap().assert_error(401, "UNAUTHENTICATED", "key");
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}
