//! The gRPC server, one file per service.
//!
//! | file | its one job |
//! |---|---|
//! | `serve` | binds, serves, shuts down; health and reflection |
//! | `options` | what can be set |
//! | `connections`, `tls`, `pem` | connections come in, encrypted by the certificates of files |
//! | `calls` | around every call: span, deadline, log |
//! | `access` | before every call: whose key it has, and what that is for |
//! | `context`, `model` | what every service holds; a bank only for a caller who may use it |
//! | `gate` | the bounded way from async calls to the blocking engine |
//! | `limits`, `convert` | messages become engine types, checked at the door |
//! | `status` | errors become statuses |
//! | `embedding`, `bank`, `question`, `bulk`, `search`, `paraphrase`, `many` | the services |
//! | `snapshot`, `restore`, `transfer` | the streams of `bank`, and what both need |
//! | [`Client`] | the other end of the line |

mod access;
mod bank;
mod bulk;
mod calls;
mod client;
mod client_tls;
mod connections;
mod context;
mod convert;
mod embedding;
mod gate;
pub mod limits;
mod many;
mod model;
mod options;
mod paraphrase;
mod pem;
pub mod proto;
mod question;
mod restore;
mod search;
mod serve;
mod snapshot;
mod status;
mod tls;
mod transfer;

pub use access::{ApiKey, KeyEntry, Role};
pub use client::{Client, ClientOptions, Credentials, Line};
pub use client_tls::ClientTls;
pub use options::ServerOptions;
pub use serve::{Renewal, Server};
pub use tls::TlsFiles;
