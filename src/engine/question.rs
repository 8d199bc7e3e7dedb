//! What a bank holds, with names that are checked once, at the door.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A bank's name: 1 to 64 of `a–z A–Z 0–9 _ - .`, not starting with a dot. It is a folder name on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BankName(String);

impl BankName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// The name is empty, too long, starts with a dot or has another character.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if (1..=64).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain) {
            return Ok(Self(name));
        }
        Err(Error::invalid(
            "bank name",
            "1 to 64 letters, digits, `_`, `-` or `.`, not starting with `.`",
            format!("`{name}`"),
        ))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A question's id, chosen by the caller: 1 to 512 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuestionId(String);

impl QuestionId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// The id is empty, too long or has a control character.
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        if (1..=512).contains(&id.len()) && !id.chars().any(char::is_control) {
            return Ok(Self(id));
        }
        Err(Error::invalid("question id", "1 to 512 bytes without control characters", format!("{id:?}")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! checked_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }
        impl From<$type> for String {
            fn from(this: $type) -> Self {
                this.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
checked_text!(BankName);
checked_text!(QuestionId);

/// One value of a question's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetadataValue {
    Flag(bool),
    Number(f64),
    Text(String),
}

/// What a question carries besides its text, to filter by.
pub type Metadata = BTreeMap<String, MetadataValue>;

/// One question of a bank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub id: QuestionId,
    pub text: String,
    /// The FAQ it phrases; several phrasings of one FAQ share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faq_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}
