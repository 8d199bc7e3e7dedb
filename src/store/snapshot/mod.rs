//! A bank as one file, which any machine can make a bank of again.
//!
//! # The file
//! It is independent of sled and of the machine: protocol buffers and numbers in little endian.
//!
//! | bytes | what |
//! |---|---|
//! | 12 | [`MAGIC`] |
//! | 4 | [`VERSION`] |
//! | … | a frame `h`: the [`Header`] |
//! | … | frames `q`: questions, each a [`Entry`] behind its length (a varint) |
//! | … | a frame `t`: the [`Trailer`], and nothing behind it |
//!
//! A frame is its kind (1 byte), its number from 0 (u32), the length of its content (u32), the content, and the CRC-32
//! of all that. So a flipped bit, a frame that is missing, doubled or misplaced, and a torn end are found at their
//! place. The trailer has the number of questions and frames and the SHA-256 of everything before it.
//! Questions are in no order. Their internal ids are the bank's own business and not in the file.
//!
//! # One state, while writes go on
//! sled 0.34 keeps no old versions. So a commit that is about to change or remove a question which the snapshot has not
//! copied yet copies it into the file first ([`Copying::save`]); as the file has no order, that may happen at any time.
//! The snapshot itself goes through what is left in slices of about a mebibyte, each under the lock that a commit
//! needs: a commit waits for one slice at most, and searches for none. Beside one frame, only a bitmap of the ids that
//! are still to copy is in memory, however much is written meanwhile. The alternatives were worse: old versions that
//! are kept in sled until the end would have to be found and removed after a crash, a log of changes could not be undone
//! without the values that they replaced, and to hold the writer's lock throughout is to stop writes for seconds.

mod copying;
mod reader;
mod restore;
mod writer;

pub(super) use copying::Copying;
pub use copying::Snapshot;
pub use reader::{SnapshotFacts, SnapshotFile};

use crate::Result;

/// Is told of questions done and of all of them, again and again; an error ends the work, and is its error.
pub type Step<'a> = dyn Fn(u64, u64) -> Result<()> + Sync + 'a;

/// The first bytes of a snapshot. As in PNG, a copy that took it for text breaks it at once.
const MAGIC: [u8; 12] = *b"\x89simbank\r\n\x1a\n";

/// Version of the format; raised when an older program could not read what is written.
const VERSION: u32 = 1;

/// Content from which a frame is closed. The last question may be larger than what was left.
const FRAME: usize = 1 << 20;

/// Bytes of the longest content: a frame that is nearly full, and one question of the largest size.
const LONGEST: usize = FRAME + 2 * super::parts::LARGEST + 64;

/// Bytes before and behind a frame's content.
const HEAD: usize = 9;
const SUM: usize = 4;

const HEADER: u8 = b'h';
const QUESTIONS: u8 = b'q';
const TRAILER: u8 = b't';

fn head(kind: u8, number: u32, length: u32) -> [u8; HEAD] {
    let mut head = [kind; HEAD];
    head[1..5].copy_from_slice(&number.to_le_bytes());
    head[5..].copy_from_slice(&length.to_le_bytes());
    head
}

fn sum(head: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(content);
    hasher.finalize()
}

/// What the snapshot is of.
#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(string, tag = "1")]
    bank: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    model_fingerprint: String,
    /// Width of the vectors.
    #[prost(uint64, tag = "4")]
    dimension: u64,
    /// Number of the batch after which the bank was so.
    #[prost(uint64, tag = "5")]
    batch: u64,
    #[prost(uint64, tag = "6")]
    questions: u64,
    /// Distinct FAQ ids.
    #[prost(uint64, tag = "7")]
    faqs: u64,
    /// The program's name and version.
    #[prost(string, tag = "8")]
    written_by: String,
    #[prost(string, tag = "9")]
    quantisation: String,
}

impl From<&SnapshotFacts> for Header {
    fn from(SnapshotFacts { bank, facts, counts, written_by }: &SnapshotFacts) -> Self {
        Self {
            bank: bank.clone(),
            description: facts.description.clone(),
            model_fingerprint: facts.model_fingerprint.clone(),
            dimension: facts.dimension as u64,
            batch: counts.batch,
            questions: counts.questions,
            faqs: counts.faqs,
            written_by: written_by.clone(),
            quantisation: facts.quantisation.clone(),
        }
    }
}

/// One question.
#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    /// A [`Record`](super::Record), as it lies in the bank.
    #[prost(bytes = "vec", tag = "1")]
    record: Vec<u8>,
    /// Components, f32 in little endian.
    #[prost(bytes = "vec", tag = "2")]
    vector: Vec<u8>,
}

/// What all that came before was.
#[derive(Clone, PartialEq, prost::Message)]
struct Trailer {
    #[prost(uint64, tag = "1")]
    questions: u64,
    /// Frames, this one included.
    #[prost(uint32, tag = "2")]
    frames: u32,
    /// SHA-256 of all bytes before this frame.
    #[prost(bytes = "vec", tag = "3")]
    sha256: Vec<u8>,
}

#[cfg(test)]
mod tests;
