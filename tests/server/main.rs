//! What a client of the server sees: a real server, a real client, TCP between them. The encoder is a fake one, so
//! that no model is needed; everything behind it is real.

mod access;
mod banks;
mod batching;
mod bulk;
mod calibration;
mod calls;
mod certificates;
mod child;
mod encoder;
mod flow;
mod harness;
mod hostile;
mod http;
mod lifecycle;
mod limits;
mod map;
mod paraphrase;
mod questions;
mod raw;
mod search;
mod served_model;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../bank/small_disk.rs"]
mod small_disk;
mod snapshots;
mod statuses;
mod tls;
mod traces;
