//! What a call may ask for. The defaults are part of the contract: `proto/simbert/v1/` names them field by field, and
//! `GetModel` says what a server was set to.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::proto;
use super::refused::Refused;
use crate::engine::limits as engine;
use crate::{Error, Result};

/// One thing of which a call may ask for so much at most.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// As [`Limits`] and the contract call it.
    pub name: &'static str,
    pub default: usize,
    /// What it can be set to: what the engine bears, or more than anybody wants.
    pub range: (usize, usize),
    of: fn(&Limits) -> usize,
}

impl Limit {
    /// The flag of `simbert serve` that sets it.
    pub fn flag(&self) -> String {
        flag(self.name)
    }
}

/// The flag that sets the limit of this name.
pub(super) fn flag(name: &str) -> String {
    format!("--max-{}", name.replace('_', "-"))
}

macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident $limit:ident = $default:expr, $least:expr, $most:expr;)+) => {
        /// What a call may ask for at most.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$doc])* pub $field: usize,)+
        }

        $($(#[$doc])* pub const $limit: Limit = Limit {
            name: stringify!($field), default: $default, range: ($least, $most), of: |limits| limits.$field,
        };)+

        /// All of them.
        pub const ALL: &[Limit] = &[$($limit),+];

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }
    };
}

limits! {
    /// Texts, questions or ids of one call.
    items ITEMS = 1024, 1, 65_536;
    /// Bytes of a text to encode. A bank holds no longer ones.
    text_bytes TEXT_BYTES = engine::TEXT_BYTES, 16, engine::TEXT_BYTES;
    /// Bytes of a bank's description.
    description_bytes DESCRIPTION_BYTES = 4 << 10, 0, 64 << 10;
    /// Hits of a search.
    hits HITS = 1000, 1, engine::HITS;
    /// Queries of a batch.
    queries QUERIES = 256, 1, 4096;
    /// Hits of a whole batch.
    batch_hits BATCH_HITS = 50_000, 1, 1_000_000;
    /// Questions or banks of a page.
    page PAGE = 1000, 1, 10_000;
    /// Similar questions of a reply.
    paraphrases PARAPHRASES = 1000, 1, engine::SAMPLES;
    /// Samples drawn by the decoder.
    samples SAMPLES = engine::SAMPLES, 1, engine::SAMPLES;
    /// New tokens of a sample.
    sample_tokens SAMPLE_TOKENS = 512, 1, 512;
    /// Phrases of an expanded search.
    phrases PHRASES = engine::PHRASES, 1, engine::PHRASES;
    /// How deep a filter nests. A message nests 100 deep at most, and a level of a filter may take two.
    filter_depth FILTER_DEPTH = 8, 1, engine::FILTER_DEPTH;
    /// Conditions of a filter.
    filter_conditions FILTER_CONDITIONS = 1000, 1, engine::FILTER_CONDITIONS;
    /// Values of all conditions of a filter.
    filter_values FILTER_VALUES = 4096, 1, engine::FILTER_VALUES;
}

impl Limits {
    /// # Errors
    /// One lies outside of what it can be set to.
    pub(super) fn validate(&self) -> Result<()> {
        ALL.iter().try_for_each(|limit| {
            let (least, most) = limit.range;
            in_range(&format!("the limit `{}`", limit.name), (limit.of)(self), least..=most).map(drop)
        })
    }

    /// An absent number is `default`, or the limit where that is lower; a present one must lie in 1 to the limit.
    pub(super) fn count(
        &self,
        what: &str,
        received: Option<u32>,
        default: usize,
        limit: Limit,
    ) -> Result<usize, Refused> {
        let number = received.map_or(default.min((limit.of)(self)), |n| n as usize);
        self.within(what, number, limit)
    }

    /// A number of things, at least one.
    pub(super) fn within(&self, what: &str, number: usize, limit: Limit) -> Result<usize, Refused> {
        let most = (limit.of)(self);
        let refused = |error| if number > most { Refused::beyond(error, limit, most) } else { Refused::from(error) };
        in_range(what, number, 1..=most).map_err(refused)
    }

    /// A list of at least one item.
    pub(super) fn items<T>(&self, what: &str, list: Vec<T>, limit: Limit) -> Result<Vec<T>, Refused> {
        self.within(&format!("number of {what}"), list.len(), limit)?;
        Ok(list)
    }

    /// A text of so many bytes. Its content is left out of the message: it may be private, and it is long.
    pub(super) fn bytes(&self, what: &str, text: String, limit: Limit) -> Result<String, Refused> {
        let most = (limit.of)(self);
        if text.len() <= most {
            return Ok(text);
        }
        let error = Error::invalid(what, format!("at most {most} bytes of text"), format!("{} bytes", text.len()));
        Err(Refused::beyond(error, limit, most))
    }

    /// A text that can be encoded: not blank, and not too long.
    pub(super) fn sentence(&self, what: &str, text: String) -> Result<String, Refused> {
        if text.trim().is_empty() {
            return Err(Error::invalid(what, "some text", "a blank one").into());
        }
        self.bytes(what, text, TEXT_BYTES)
    }

    /// As the contract has them; what is none of these is left at 0.
    pub(super) fn message(&self) -> proto::Limits {
        let number = |n: usize| n as u32; // their ranges end far below
        proto::Limits {
            items: number(self.items),
            text_bytes: number(self.text_bytes),
            description_bytes: number(self.description_bytes),
            hits: number(self.hits),
            queries: number(self.queries),
            batch_hits: number(self.batch_hits),
            page: number(self.page),
            paraphrases: number(self.paraphrases),
            samples: number(self.samples),
            sample_tokens: number(self.sample_tokens),
            phrases: number(self.phrases),
            filter_depth: number(self.filter_depth),
            filter_conditions: number(self.filter_conditions),
            filter_values: number(self.filter_values),
            ..Default::default()
        }
    }
}

/// `received` when it lies in the range; NaN lies in none.
pub(super) fn in_range<T: PartialOrd + Display>(what: &str, received: T, range: RangeInclusive<T>) -> Result<T> {
    if range.contains(&received) {
        return Ok(received);
    }
    Err(Error::invalid(what, format!("{} to {}", range.start(), range.end()), received))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_count_is_the_default_and_zero_is_refused() {
        let limits = Limits::default();
        let count = |received, limits: Limits| limits.count("k", received, 10, HITS);
        assert_eq!(count(None, limits).unwrap(), 10);
        assert_eq!(count(None, Limits { hits: 3, ..limits }).unwrap(), 3);
        assert_eq!(count(Some(1000), limits).unwrap(), 1000);
        assert_eq!(count(Some(0), limits).unwrap_err().to_string(), "k: expected 1 to 1000, received 0");
        let beyond = count(Some(1001), limits).unwrap_err().to_string();
        assert_eq!(beyond, "k: expected 1 to 1000, received 1001; the server's `--max-hits` sets this limit");
    }

    #[test]
    fn nan_lies_in_no_range() {
        assert!(in_range("min_score", f32::NAN, -1.0..=1.0).is_err());
    }

    #[test]
    fn blank_and_enormous_texts_are_refused_without_being_quoted() {
        let limits = Limits::default();
        assert!(limits.sentence("text", " \u{3000}\n".to_owned()).is_err());
        let message = limits.sentence("text", "长".repeat(8192)).unwrap_err().to_string();
        assert!(message.starts_with("text: expected at most 8192 bytes of text, received 24576 bytes;"), "{message}");
    }

    #[test]
    fn every_limit_has_its_default_in_its_range_and_a_name_in_the_contract() {
        let defaults = Limits::default();
        defaults.validate().unwrap();
        let contract = prost_reflect::DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
        let message = contract.get_message_by_name("simbert.v1.Limits").unwrap();
        for limit in ALL {
            assert_eq!((limit.of)(&defaults), limit.default, "{}", limit.name);
            assert!(message.get_field_by_name(limit.name).is_some(), "{}", limit.name);
        }
        let none = Limits { hits: 0, ..defaults }.validate().unwrap_err().to_string();
        assert_eq!(none, "the limit `hits`: expected 1 to 10000, received 0");
    }
}
