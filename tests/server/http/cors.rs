//! What pages of other origins may do.

use simbert::server::{Server, ServerOptions};
use tempfile::TempDir;

use super::client::{Answer, Http};
use super::served;
use crate::harness::{Served, engine, http_options};

const PAGE: &str = "https://example.org";

async fn allowing(origins: &[&str]) -> (Served, Http) {
    let cors_origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    let served = Served::start_with(ServerOptions { cors_origins, ..http_options() }).await;
    let http = Http(served.http.unwrap());
    (served, http)
}

async fn preflight(http: Http, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,authorization"),
    ];
    http.send("OPTIONS", "/v1/embed", &headers, b"").await
}

fn allowed(answer: &Answer) -> Option<&str> {
    answer.headers.get("access-control-allow-origin").map(String::as_str)
}

#[tokio::test]
async fn nobody_is_let_in_unasked() {
    let (_served, http) = served().await;
    assert_eq!(allowed(&preflight(http, PAGE).await), None);
    assert_eq!(allowed(&http.send("GET", "/v1/banks", &[("origin", PAGE)], b"").await), None);
}

#[tokio::test]
async fn a_named_origin_may_ask_and_read() {
    let (_served, http) = allowing(&["http://localhost:3000", PAGE]).await;
    let asked = preflight(http, PAGE).await;
    assert_eq!((asked.status, allowed(&asked)), (204, Some(PAGE)));
    assert!(asked.headers["access-control-allow-methods"].contains("POST"));
    for header in ["content-type", "authorization", "x-timeout-ms"] {
        assert!(asked.headers["access-control-allow-headers"].contains(header), "{header}");
    }
    let answer = http.send("GET", "/v1/banks", &[("origin", PAGE)], b"").await;
    assert_eq!((answer.status, allowed(&answer)), (200, Some(PAGE)));
    assert_eq!(answer.headers["vary"], "origin");
    let answer = http.send("GET", "/v1/nothing", &[("origin", PAGE)], b"").await;
    assert_eq!((answer.status, allowed(&answer)), (404, Some(PAGE)), "errors can be read, too");
    for other in ["https://example.com", "null", "https://example.org.evil.example"] {
        assert_eq!(allowed(&preflight(http, other).await), None, "{other}");
    }
}

#[tokio::test]
async fn a_star_lets_all_in() {
    let (_served, http) = allowing(&["*"]).await;
    assert_eq!(allowed(&preflight(http, PAGE).await), Some("*"));
}

#[tokio::test]
async fn an_origin_that_is_none_is_refused() {
    let folder = TempDir::new().unwrap();
    let options = ServerOptions { cors_origins: vec!["example.org/".to_owned()], ..http_options() };
    let error = Server::bind(engine(folder.path(), "fake"), options).await.err().unwrap().to_string();
    assert!(error.starts_with("cors origin: expected `*` or an origin"), "{error}");
}
