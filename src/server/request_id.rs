//! What a call is known by, here and to who called.

use std::fmt;

use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};

/// Where it stands, in a request and in its reply.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of the longest that is taken over.
const LONGEST: usize = 128;

/// The caller's own, or one that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// That of a request: the caller's, if it is up to 128 letters, digits and `-_.:/+=@`, so that it can be written into
    /// a log as it is.
    pub fn of(headers: &HeaderMap) -> Self {
        let sane = |value: &&HeaderValue| {
            let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b);
            (1..=LONGEST).contains(&value.len()) && value.as_bytes().iter().all(fits)
        };
        Self(headers.get(REQUEST_ID).filter(sane).cloned().unwrap_or_else(made))
    }

    /// For the reply.
    pub fn into_value(self) -> HeaderValue {
        self.0
    }
}

/// 32 random hexadecimal digits.
fn made() -> HeaderValue {
    let text = format!("{:032x}", rand::random::<u128>());
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("none")) // digits are a fine value
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: &[u8]) -> String {
        let value = HeaderValue::from_bytes(value).unwrap();
        RequestId::of(&HeaderMap::from_iter([(REQUEST_ID, value)])).to_string()
    }

    #[test]
    fn what_is_sane_is_taken_over() {
        let longest = "x".repeat(LONGEST);
        for sane in ["a", "7f3c-11:2/x=@+._", &longest] {
            assert_eq!(id(sane.as_bytes()), sane);
        }
    }

    #[test]
    fn what_is_not_is_replaced() {
        let too_long = "x".repeat(LONGEST + 1);
        for other in ["", "a b", "a\"b", "a\tb", "{}", "编号", &too_long] {
            let made = id(other.as_bytes());
            assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{other}: {made}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
