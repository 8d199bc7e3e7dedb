//! An error on its way to a caller, with the field of the request that it is about.

use std::fmt;

use super::limits::{Limit, flag};
use crate::Error;

/// An error, and what is known of where in the request it comes from.
#[derive(Debug)]
pub(super) struct Refused {
    /// In a box, or every result that may hold one would be large.
    pub error: Box<Error>,
    /// The path of the field, such as `questions[3].metadata["lang"]`; empty where none is known.
    pub field: String,
    /// The name of the limit that the request goes beyond, and what the server set it to.
    pub beyond: Option<(&'static str, usize)>,
}

impl Refused {
    /// What asks for more than `most`, which is the server's `limit`.
    pub fn beyond(error: Error, limit: Limit, most: usize) -> Self {
        Self { beyond: Some((limit.name, most)), ..error.into() }
    }

    /// The same, whose field lies within this one. A part in brackets follows without a dot.
    fn within(mut self, field: impl fmt::Display) -> Self {
        self.field = match &*self.field {
            "" => field.to_string(),
            inner if inner.starts_with('[') => format!("{field}{inner}"),
            inner => format!("{field}.{inner}"),
        };
        self
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error), field: String::new(), beyond: None }
    }
}

impl fmt::Display for Refused {
    /// As a sentence for a caller elsewhere: see [`status`](super::status).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::status::sentence(&self.error))?;
        match &self.beyond {
            Some((limit, _)) => write!(f, "; the server's `{}` sets this limit", flag(limit)),
            None => Ok(()),
        }
    }
}

/// Names the field that an error is about.
pub(super) trait At<T> {
    /// Adds the name of a field, or of the message around it, to the error's path.
    fn at(self, field: impl fmt::Display) -> Result<T, Refused>;
}

impl<T, E: Into<Refused>> At<T> for Result<T, E> {
    fn at(self, field: impl fmt::Display) -> Result<T, Refused> {
        self.map_err(|error| error.into().within(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_grow_outwards() {
        let refused = Err::<(), _>(Error::invalid("metadata", "a value", "none"));
        let refused = refused.at("[\"lang\"]").at("metadata").at("[3]").at("questions").unwrap_err();
        assert_eq!(refused.field, "questions[3].metadata[\"lang\"]");
        assert_eq!(refused.to_string(), "metadata: expected a value, received none");
    }
}
