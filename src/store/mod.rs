//! Every byte of a bank on disk, in sled.
//!
//! A bank is a folder `<data>/banks/<name>/`:
//!
//! | file | what it is |
//! |---|---|
//! | `bank.json` | what never changes: format, model fingerprint, width, description |
//! | `lock` | locked by the one process that has the bank open |
//! | `acknowledged` | number of the last acknowledged batch, and counts; two checksummed slots |
//! | `db`, `conf`, `blobs/`, `snap.*` | sled's: the questions, vectors that came lately, and the manifest of segments |
//! | `segments/` | files of vectors, and graphs over them, that never change |
//!
//! A commit is one sled batch, flushed and fsynced, and then noted in `acknowledged`; only then is it acknowledged.
//! So a store that has lost an acknowledged batch, for whatever reason, knows it when it is opened.
//!
//! [`Store::begin_snapshot`] copies a bank into one file while it is written to, and [`Banks::restore`] makes a bank of
//! such a file; a [`Spool`] holds one that passes through. [`Store::verify`] looks at every question, past those that are
//! damaged.

mod acknowledged;
mod attempt;
mod failed;
mod folder;
mod parts;
mod questions;
mod rebuild;
mod record;
mod room;
mod segments;
mod snapshot;
mod spool;
mod verify;
mod whole_file;

pub use acknowledged::Counts;
pub use folder::{BankFacts, Banks};
pub use questions::{Change, Store, Stored};
pub use rebuild::Vectors;
pub use record::{Outline, Record, Value, value};
pub use segments::{SegmentFile, SegmentParts};
pub use snapshot::{Snapshot, SnapshotFacts, SnapshotFile, Step};
pub use spool::Spool;
pub use verify::{Damage, Verification};
pub use whole_file::WholeFile;

/// Version of the format on disk, in `bank.json`; raised when an older program could not read what is written.
///
/// | format | what is new |
/// |---|---|
/// | 1 | questions and all vectors in sled |
/// | 2 | vectors in `segments/`, named by a manifest in sled |
///
/// A bank of an older format gets the newest one when it is opened.
pub const FORMAT: u32 = 2;

/// The oldest format that can be opened.
const OLDEST: u32 = 1;

/// Whether a checksum is the one that was written. A fuzzer, which cannot guess any, gets past all of them.
fn sums_agree<T: PartialEq>(found: T, written: T) -> bool {
    cfg!(fuzzing) || found == written
}

#[cfg(test)]
mod tests;
