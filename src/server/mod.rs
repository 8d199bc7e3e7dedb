//! The server: gRPC, one file per service, and HTTP over the same calls.
//!
//! | file | its one job |
//! |---|---|
//! | `serve` | binds, serves, shuts down; health and reflection |
//! | `options` | what can be set |
//! | `port`, `connection`, `activity` | takes connections, so many at once, and ends those that are of no use |
//! | `http` | JSON, gRPC-web, and what monitoring asks for |
//! | `calls` | around every call: request id, span, deadline |
//! | `pause` | requests that are not sent to their end |
//! | `record` | what is noted of each call: its line in the log, its part of the metrics |
//! | `trace`, [`Traces`] | a call's place in the trace of its caller; sends traces to a collector |
//! | `metrics` | what can be measured of a server |
//! | `gate` | the bounded way from async calls to the blocking engine |
//! | `limits`, `convert` | messages become engine types, checked at the door |
//! | `status` | errors become statuses |
//! | `embedding`, `bank`, `question`, `bulk`, `search`, `paraphrase`, `many` | the services |
//! | `snapshot`, `restore`, `transfer` | the streams of `bank`, and what both need |
//! | [`Client`] | the other end of the line |

mod activity;
mod bank;
mod bulk;
mod calls;
mod client;
mod connection;
mod context;
mod convert;
mod embedding;
mod gate;
mod http;
pub mod limits;
mod many;
mod metrics;
mod options;
mod paraphrase;
mod pause;
mod port;
pub mod proto;
mod question;
mod record;
mod request_id;
mod restore;
mod search;
mod serve;
mod snapshot;
mod status;
mod trace;
mod traces;
mod transfer;

pub use client::{Client, ClientOptions};
pub use options::ServerOptions;
pub use serve::Server;
pub use traces::{TraceOptions, Traces};
