//! A key as its owner has it.

use std::fmt;

use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Error, Result};

/// What every key of ours begins with, so that one that lies where it should not is found.
const PREFIX: &str = "simbert_";
/// Random bytes of a key of ours.
const RANDOM_BYTES: usize = 32;

/// An API key, which is a secret: it is shown by [`ApiKey::reveal`] and by nothing else.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key that somebody has.
    ///
    /// # Errors
    /// It is empty, or has characters that a header cannot carry.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        match text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            false => Ok(Self(text)),
            true => Err(Error::invalid("API key", "printable ASCII without blanks", "something else, not shown")),
        }
    }

    /// A new one, which nobody can guess.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        let filled = OsRng.try_fill_bytes(&mut bytes);
        filled.map_err(|e| Error::Unavailable { what: "a random number".to_owned(), reason: e.to_string() })?;
        Ok(Self(format!("{PREFIX}{}", hex(&bytes))))
    }

    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for ApiKey {}

/// What is kept of a key. A plain SHA-256 is enough: slow hashes are for what people think up and others guess, and nobody
/// guesses 32 random bytes; and this is computed with every call.
pub(super) fn hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_never_the_same_and_not_shown() {
        let (a, b) = (ApiKey::random().unwrap(), ApiKey::random().unwrap());
        assert!(a.reveal().starts_with(PREFIX) && a.reveal().len() == PREFIX.len() + 2 * RANDOM_BYTES);
        assert!(a != b && a == a.clone());
        assert_eq!(format!("{a:?}"), "ApiKey(…)");
        assert!(ApiKey::new(a.reveal()).unwrap() == a);
    }

    #[test]
    fn what_no_header_carries_is_refused_and_not_quoted() {
        for wrong in ["", "two words", "schlüssel", "line\n"] {
            let error = ApiKey::new(wrong).unwrap_err().to_string();
            assert_eq!(error, "API key: expected printable ASCII without blanks, received something else, not shown");
        }
    }
}
