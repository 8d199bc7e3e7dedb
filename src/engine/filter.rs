//! Filters as people write them.

use std::str::FromStr;

use super::{Filter, MetadataValue};
use crate::{Error, Result};

/// How filters are written, for `--help`.
pub const FILTER_SYNTAX: &str = "\
Filters, of which all must hold:
  key=value        the value under the key is this
  key=a|b          … is one of these
  key!=a|b         … is none of these, or there is none
  key>=1  key<=1   … is a number in this range; also > and <
  key              there is a value
  !key             there is none
The key faq_id means the FAQ id. A value in double quotes may contain `|`.";

/// Comparisons, longer ones before those that they start with.
const COMPARISONS: [&str; 6] = ["!=", ">=", "<=", ">", "<", "="];

impl FromStr for Filter {
    type Err = Error;

    /// Reads one condition; see [`FILTER_SYNTAX`].
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |expected: &str| Err(Error::invalid("filter", expected, format!("`{text}`")));
        let split = text.char_indices().find_map(|(place, _)| {
            COMPARISONS.iter().find(|sign| text[place..].starts_with(**sign)).map(|&sign| (place, sign))
        });
        // `!key`: the sign of `!=` is found further on, if at all.
        let Some((place, sign)) = split else {
            let (absent, key) = text.strip_prefix('!').map_or((false, text), |key| (true, key));
            let filter = match key.trim() {
                "" => return refuse("`key`, `key=value`, `key>=1` and the like"),
                "faq_id" => return refuse("values to compare with, as in `faq_id=a|b`"),
                key => Self::Exists { key: key.to_owned() },
            };
            return Ok(if absent { Self::Not(Box::new(filter)) } else { filter });
        };
        let (key, value) = (text[..place].trim(), text[place + sign.len()..].trim());
        if key.is_empty() || key.starts_with('!') {
            return refuse("a key before the comparison, as in `key=value` or `key!=value`");
        }
        match sign {
            "=" => Ok(one_of(key, value)),
            "!=" => Ok(Self::Not(Box::new(one_of(key, value)))),
            _ => {
                let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
                let Some(number) = number else { return refuse("a number after the comparison") };
                let (min, max) = match sign {
                    ">=" => (Some(number), None),
                    "<=" => (None, Some(number)),
                    ">" => (Some(number.next_up()), None),
                    _ => (None, Some(number.next_down())),
                };
                Ok(Self::Range { key: key.to_owned(), min, max })
            }
        }
    }
}

fn one_of(key: &str, values: &str) -> Filter {
    let literal = values.strip_prefix('"').and_then(|values| values.strip_suffix('"'));
    let texts: Vec<&str> = literal.map_or_else(|| values.split('|').map(str::trim).collect(), |text| vec![text]);
    if key == "faq_id" {
        return Filter::FaqId(texts.into_iter().map(str::to_owned).collect());
    }
    let mut values = Vec::new();
    for text in texts {
        // `7` finds the number and the text alike; quoted, only the text.
        values.extend(literal.is_none().then(|| MetadataValue::from_cell(text)));
        let as_text = MetadataValue::Text(text.to_owned());
        if values.last() != Some(&as_text) {
            values.push(as_text);
        }
    }
    Filter::In { key: key.to_owned(), values }
}

impl MetadataValue {
    /// What a cell of a table means: `true` and `false` are flags, what JSON calls a number is one (so `007` is not),
    /// the rest is text.
    pub fn from_cell(text: &str) -> Self {
        match text {
            "true" => Self::Flag(true),
            "false" => Self::Flag(false),
            _ => match serde_json::from_str::<f64>(text) {
                Ok(number) if number.is_finite() => Self::Number(number),
                _ => Self::Text(text.to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> MetadataValue {
        MetadataValue::Text(text.to_owned())
    }

    #[test]
    fn conditions_are_read() {
        let values = |key: &str, values: Vec<MetadataValue>| Filter::In { key: key.to_owned(), values };
        let range = |min, max| Filter::Range { key: "n".to_owned(), min, max };
        let expected = [
            ("lang=zh", values("lang", vec![text("zh")])),
            (" lang = zh | en ", values("lang", vec![text("zh"), text("en")])),
            (
                "n=7|true",
                values("n", vec![MetadataValue::Number(7.0), text("7"), MetadataValue::Flag(true), text("true")]),
            ),
            ("n=007", values("n", vec![text("007")])),
            ("path=\"a|b=c\"", values("path", vec![text("a|b=c")])),
            ("lang!=zh", Filter::Not(Box::new(values("lang", vec![text("zh")])))),
            ("n>=1.5", range(Some(1.5), None)),
            ("n<=-2", range(None, Some(-2.0))),
            ("n>0", range(Some(0f64.next_up()), None)),
            ("n<1", range(None, Some(1f64.next_down()))),
            ("地区=上海", values("地区", vec![text("上海")])),
            ("n", Filter::Exists { key: "n".to_owned() }),
            ("!n", Filter::Not(Box::new(Filter::Exists { key: "n".to_owned() }))),
            ("faq_id=a|b", Filter::FaqId(vec!["a".to_owned(), "b".to_owned()])),
        ];
        for (written, filter) in expected {
            assert_eq!(written.parse::<Filter>().unwrap(), filter, "{written}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for written in ["", "!", "=zh", "n>=many", "n<", "n>=NaN", "faq_id", "  ", "!n=1"] {
            assert!(written.parse::<Filter>().is_err(), "{written}");
        }
    }
}
