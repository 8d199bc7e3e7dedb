//! Every byte of a bank on disk, in sled.
//!
//! A bank is a folder `<data>/banks/<name>/`:
//!
//! | file | what it is |
//! |---|---|
//! | `bank.json` | what never changes: format, model fingerprint, width, description |
//! | `lock` | locked by the one process that has the bank open |
//! | `acknowledged` | number of the last acknowledged batch, and counts; two checksummed slots |
//! | `db`, `conf`, `blobs/`, `snap.*` | sled's: the questions and their vectors |
//!
//! A commit is one sled batch, flushed and fsynced, and then noted in `acknowledged`; only then is it acknowledged.
//! So a store that has lost an acknowledged batch, for whatever reason, knows it when it is opened.

mod acknowledged;
mod folder;
mod parts;
mod questions;
mod record;

pub use acknowledged::Counts;
pub use folder::{BankFacts, Banks};
pub use questions::{Change, Store, Stored};
pub use record::{Record, Value, value};

/// Version of the format on disk, in `bank.json`; raised when an older program could not read what is written.
pub const FORMAT: u32 = 1;

#[cfg(test)]
mod tests;
