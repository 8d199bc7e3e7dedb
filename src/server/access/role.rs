//! What a key is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What a key may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Search, read questions and banks, encode, write similar questions.
    Read,
    /// Write and delete questions.
    Write,
    /// Make, change, delete, copy and restore banks.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = [Self::Read, Self::Write, Self::Admin].into_iter().find(|role| role.to_string() == text);
        known.ok_or_else(|| Error::invalid("role", "`read`, `write` or `admin`", format!("`{text}`")))
    }
}
