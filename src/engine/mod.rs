//! A bank: encode + store + index as one thing.
//!
//! - An [`Engine`] is a model and a folder of banks.
//! - A [`Bank`] holds questions: [`Bank::upsert`], [`Bank::search`], [`Bank::expand`]. A write that has returned is on
//!   the disk and found by every later search.
//! - [`Bank::snapshot`] and [`Engine::restore`] put a bank into one file and back, [`Bank::spool`] and [`Engine::spool`]
//!   for a caller elsewhere. [`BankFiles`] are a bank's files without the bank: to verify, export and copy it, damaged
//!   or not.
//! - [`limits`] are what all of this bears.
//! - [`Bank::map`] lays a bank's questions out in a plane, and finds those that are nearly the same.
//! - [`Engine::reencode`] makes a bank of another model one of this.
//! - [`QuestionFile`] reads questions from CSV, TSV, JSON Lines, Parquet and plain text.
//! - [`SentenceEncoder`] and [`QuestionWriter`] are what an engine needs of a model; tests bring their own.

mod bank;
mod banks;
mod catalogue;
mod encoder;
mod expand;
mod files;
mod filter;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod handle;
mod import;
mod keeper;
pub mod limits;
mod linker;
mod lookup;
mod map;
mod question;
mod record;
mod reencode;
mod search;
mod snapshot;
mod write;

pub use bank::{BankSettings, BankStatus};
pub use banks::{Engine, EngineOptions};
pub use encoder::{QuestionWriter, SentenceEncoder, ThenVectors, Vectors};
pub(crate) use expand::{DEEPER, fuse};
pub use files::BankFiles;
pub use filter::FILTER_SYNTAX;
pub use handle::{Bank, OpenBank};
pub use import::{QuestionFile, QuestionFormat};
pub use lookup::EncodedSearch;
pub(crate) use lookup::{only, together};
pub use map::{BankMap, MapPoint, MapRequest, NearDuplicate};
pub use question::{BankName, Metadata, MetadataValue, Question, QuestionId};
pub use search::{ExpandRequest, Expansion, Filter, Fusion, Hit, Keep, Query, SearchRequest, SearchResponse, Timings};
pub use write::{Prepared, UpsertOutcome};

pub use crate::index::Quantisation;
pub use crate::store::{Damage, SnapshotFacts, Spool, Step, Verification};
