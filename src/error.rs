//! One error type for the library. Every message says what was expected, what was received, and what to do.

use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value from the caller is out of range or malformed.
    #[error("{what}: expected {expected}, received {received}")]
    Invalid { what: String, expected: String, received: String },
    /// One line of an input file is bad. Lines count from 1.
    #[error("{}:{line}: {reason}", path.display())]
    BadLine { path: PathBuf, line: u64, reason: String },
    /// A bank, question, file or model that was named is not there.
    #[error("{kind} `{name}` was not found; {hint}")]
    NotFound { kind: &'static str, name: String, hint: String },
    /// A bank of this name is there already.
    #[error("{kind} `{name}` already exists; {hint}")]
    AlreadyExists { kind: &'static str, name: String, hint: String },
    /// A bank was written with another model than the one that is loaded.
    #[error(
        "bank `{bank}` was encoded by model {expected}, but the loaded model is {received}; \
         load the first model, or encode the bank anew (`simbert bank reencode {bank}`)"
    )]
    ModelMismatch { bank: String, expected: String, received: String },
    /// Bytes on disk are not what was written.
    #[error("{} is damaged: {comment}", path.display())]
    DataCorruption { path: PathBuf, comment: String },
    /// Another process holds a bank, or a resource is not there yet.
    #[error("{what} is not available: {reason}")]
    Unavailable { what: String, reason: String },
    /// The model that is loaded has no decoder half, so it writes no similar questions.
    #[error("writing similar questions is not available: {hint}")]
    NoDecoder { hint: String },
    /// A disk has no room for a write. In bytes.
    #[error(
        "the disk under {} is full ({:.1} MiB are left, and a write needs {:.1}: make room); try again then",
        path.display(), mebibytes(*left), mebibytes(*wanted)
    )]
    DiskFull { path: PathBuf, left: u64, wanted: u64 },
    /// A queue or a limit is full.
    #[error("{what} is full ({limit}); try again later, or raise the limit")]
    Exhausted { what: String, limit: String },
    /// An answer would be larger than the caller may have it. In bytes.
    #[error("reply: expected at most {most} bytes, and it would have more; ask for {instead}")]
    TooLarge { most: usize, instead: &'static str },
    /// The caller has gone, or its deadline has passed.
    #[error("{what} was cancelled")]
    Cancelled { what: String },
    /// The operating system refused a file operation.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    /// sled refused an operation.
    #[error("store: cannot {action}: {source}")]
    Store { action: &'static str, source: sled::Error },
    /// ONNX Runtime refused an operation, or its library is missing.
    #[error("ONNX Runtime: cannot {action}: {message}")]
    Runtime { action: String, message: String },
    /// candle refused an operation.
    #[error("network: {0}")]
    Network(#[from] candle_core::Error),
    /// A fault of ours.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

impl Error {
    /// A value from the caller is not what it should be. Of a long value the message quotes the beginning.
    pub fn invalid(what: impl Into<String>, expected: impl Into<String>, received: impl std::fmt::Display) -> Self {
        Self::Invalid { what: what.into(), expected: expected.into(), received: brief(received.to_string(), QUOTED) }
    }

    /// A failed file operation: `action` completes “cannot …”.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    /// A failed store operation: `action` completes “cannot …”.
    pub fn store(action: &'static str, source: sled::Error) -> Self {
        Self::Store { action, source }
    }

    /// Bytes on disk that are not what was written.
    pub fn corrupt(path: impl AsRef<Path>, comment: impl Into<String>) -> Self {
        Self::DataCorruption { path: path.as_ref().to_owned(), comment: comment.into() }
    }

    /// A file of TOML that is none, or holds what it should not. `text` is what was read of it.
    pub fn bad_toml(path: impl AsRef<Path>, text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() as u64 + 1);
        Self::BadLine { path: path.as_ref().to_owned(), line, reason: error.message().to_owned() }
    }
}

/// Bytes of a received value that a message quotes at most.
const QUOTED: usize = 500;

/// A text, cut to some bytes more or less at the end of a character if it is longer, and marked as cut.
pub(crate) fn brief(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
        text.push('…');
    }
    text
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_not_quoted_whole() {
        let sentence = Error::invalid("id", "a short one", "长".repeat(1_000_000)).to_string();
        assert!(sentence.len() < 600 && sentence.ends_with("长…"), "{sentence}");
        assert_eq!(brief("长".to_owned(), 3), "长");
    }
}
