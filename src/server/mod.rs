//! The server: gRPC, one file per service, and HTTP over the same calls.
//!
//! | file | its one job |
//! |---|---|
//! | `serve` | binds, serves, shuts down; health and reflection |
//! | `receiving` | bounds what all callers send at once |
//! | `options` | what can be set |
//! | `tls`, `pem` | what connections are encrypted with, by the certificates of files |
//! | `port`, `connection`, `activity` | takes connections, so many at once, and ends those that are of no use |
//! | `http` | JSON, gRPC-web, and what monitoring asks for |
//! | `calls` | around every call: request id, span, deadline |
//! | `access` | before every call: whose key it has, and what that is for |
//! | `pause` | requests that are not sent to their end |
//! | `record` | what is noted of each call: its line in the log, its part of the metrics |
//! | `trace`, [`Traces`] | a call's place in the trace of its caller; sends traces to a collector |
//! | `metrics` | what can be measured of a server |
//! | `context`, `model` | what every service holds; a bank only for a caller who may use it |
//! | `gate` | the bounded way from async calls to the blocking engine |
//! | [`limits`], `convert` | messages become engine types, checked at the door |
//! | `refused`, `status` | errors get the field that they are about, and become statuses |
//! | `message_size`, `page_token` | messages that are too large; where pages end |
//! | `embedding`, `bank`, `question`, `bulk`, `search`, `paraphrase`, `many` | the services |
//! | `snapshot`, `restore`, `transfer` | the streams of `bank`, and what both need |
//! | [`Client`] | the other end of the line |

mod access;
mod activity;
mod bank;
mod bulk;
mod calls;
mod client;
mod client_tls;
mod connection;
mod context;
mod contract;
mod convert;
mod embedding;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gate;
mod http;
mod keeping;
pub mod limits;
mod line;
mod many;
mod memory;
mod message_size;
mod metrics;
mod model;
mod options;
mod page_token;
mod paraphrase;
mod pause;
mod pem;
mod port;
pub mod proto;
mod question;
mod receiving;
mod record;
mod refused;
mod replies;
mod request_id;
mod restore;
mod search;
mod serve;
mod snapshot;
mod status;
mod tls;
mod trace;
mod traces;
mod transfer;
mod unread;
mod weight;

pub use access::{ApiKey, KeyEntry, Role};
pub(crate) use client::causes;
pub use client::{Client, ClientOptions, Credentials, Line};
pub use client_tls::ClientTls;
pub use options::ServerOptions;
pub use serve::{Renewal, Server};
pub use tls::TlsFiles;
pub use traces::{TraceOptions, Traces};
