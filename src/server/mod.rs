//! The gRPC server, one file per service.
//!
//! | file | its one job |
//! |---|---|
//! | `serve` | binds, serves, shuts down; health and reflection |
//! | `incoming`, `receiving` | connections as they come, and what they send: both bounded |
//! | `options` | what can be set |
//! | `calls` | around every call: span, deadline, log |
//! | `gate` | the bounded way from async calls to the blocking engine |
//! | [`limits`], `convert` | messages become engine types, checked at the door |
//! | `refused`, `status` | errors get the field that they are about, and become statuses |
//! | `message_size`, `page_token` | messages that are too large; where pages end |
//! | `embedding`, `bank`, `question`, `bulk`, `search`, `paraphrase`, `many` | the services |
//! | `snapshot`, `restore`, `transfer` | the streams of `bank`, and what both need |
//! | [`Client`] | the other end of the line |

mod bank;
mod bulk;
mod calls;
mod client;
mod context;
mod convert;
mod embedding;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gate;
mod incoming;
pub mod limits;
mod many;
mod message_size;
mod options;
mod page_token;
mod paraphrase;
pub mod proto;
mod question;
mod receiving;
mod refused;
mod restore;
mod search;
mod serve;
mod snapshot;
mod status;
mod transfer;

pub use client::{Client, ClientOptions};
pub use options::ServerOptions;
pub use serve::Server;
