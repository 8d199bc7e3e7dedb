//! A bank: encode + store + index as one thing.

mod bank;
mod question;
mod search;

pub use bank::{Bank, BankSettings, BankStatus, Engine, EngineOptions, UpsertOutcome};
pub use question::{BankName, Metadata, MetadataValue, Question, QuestionId};
pub use search::{ExpandRequest, Expansion, Filter, Fusion, Hit, Query, SearchRequest, SearchResponse, Timings};
