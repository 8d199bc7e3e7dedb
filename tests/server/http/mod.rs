//! What curl, browsers and monitoring see at the HTTP port.

mod client;
mod connections;
mod console;
mod cors;
mod gateway;
mod logs;
mod metrics;
mod openapi;
mod web;

pub use self::client::Http;
use crate::harness::{Served, http_options, questions};

/// A server with a port for HTTP, and a bank `faq` that holds [`questions`].
async fn served() -> (Served, Http) {
    let mut served = Served::start_with(http_options()).await;
    served.create("faq").await.unwrap();
    served.upsert(questions()).await.unwrap();
    let http = Http(served.http.unwrap());
    (served, http)
}
