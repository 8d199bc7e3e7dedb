//! Filters: recursive, so bounded in depth and size.

use super::question::metadata_value;
use crate::engine::Filter;
use crate::server::proto::filter::Condition;
use crate::server::{limits, proto};
use crate::{Error, Result};

/// A filter that the engine can evaluate.
///
/// # Errors
/// It nests deeper than [`limits::FILTER_DEPTH`], has more than [`limits::FILTER_PARTS`] parts and values, or
/// one of them is malformed.
pub fn filter(message: proto::Filter) -> Result<Filter> {
    convert(message, limits::FILTER_DEPTH, &mut 0)
}

/// `depth` is how many levels may still follow, `parts` counts what was seen so far.
fn convert(message: proto::Filter, depth: usize, parts: &mut usize) -> Result<Filter> {
    if depth == 0 {
        let most = limits::FILTER_DEPTH;
        return Err(Error::invalid("filter", format!("at most {most} levels of nesting"), "a deeper one"));
    }
    let mut spend = |more: usize| {
        *parts += more;
        limits::in_range("number of values and parts of the filter", *parts, 0..=limits::FILTER_PARTS)
    };
    spend(1)?;
    let list = |list: proto::FilterList, parts: &mut usize| {
        list.filters.into_iter().map(|part| convert(part, depth - 1, parts)).collect::<Result<Vec<_>>>()
    };
    Ok(match message.condition {
        Some(Condition::FaqId(condition)) => {
            spend(condition.faq_ids.len())?;
            Filter::FaqId(limits::items("FAQ ids of the filter", condition.faq_ids, limits::FILTER_PARTS)?)
        }
        Some(Condition::Value(proto::ValueFilter { key, values })) => {
            spend(values.len())?;
            let values = limits::items("values of the filter", values, limits::FILTER_PARTS)?;
            let values = values.into_iter().map(|v| metadata_value(&key, v)).collect::<Result<_>>()?;
            Filter::In { key, values }
        }
        Some(Condition::Range(proto::RangeFilter { key, min, max })) => range(key, min, max)?,
        Some(Condition::Exists(condition)) => Filter::Exists { key: condition.key },
        Some(Condition::All(filters)) => Filter::All(list(filters, parts)?),
        Some(Condition::Any(filters)) => Filter::Any(list(filters, parts)?),
        Some(Condition::Not(part)) => Filter::Not(Box::new(convert(*part, depth - 1, parts)?)),
        None => return Err(Error::invalid("filter", "a condition", "a filter without one")),
    })
}

fn range(key: String, min: Option<f64>, max: Option<f64>) -> Result<Filter> {
    let what = || format!("range of `{key}` in the filter");
    if [min, max].into_iter().flatten().any(f64::is_nan) {
        return Err(Error::invalid(what(), "numbers", "NaN"));
    }
    match (min, max) {
        (None, None) => Err(Error::invalid(what(), "`min`, `max` or both", "neither")),
        (Some(min), Some(max)) if min > max => {
            Err(Error::invalid(what(), "`min` at most `max`", format!("{min} and {max}")))
        }
        _ => Ok(Filter::Range { key, min, max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(condition: Condition) -> proto::Filter {
        proto::Filter { condition: Some(condition) }
    }

    fn exists() -> proto::Filter {
        of(Condition::Exists(proto::ExistsFilter { key: "k".to_owned() }))
    }

    fn nested(levels: usize) -> proto::Filter {
        (1..levels).fold(exists(), |inner, _| of(Condition::Not(Box::new(inner))))
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(filter(nested(limits::FILTER_DEPTH)).is_ok());
        let message = filter(nested(limits::FILTER_DEPTH + 1)).unwrap_err().to_string();
        assert_eq!(message, "filter: expected at most 8 levels of nesting, received a deeper one");
    }

    #[test]
    fn size_is_bounded_over_all_parts() {
        let any = |parts: usize| of(Condition::Any(proto::FilterList { filters: vec![exists(); parts] }));
        assert!(filter(any(limits::FILTER_PARTS - 1)).is_ok());
        assert!(filter(any(limits::FILTER_PARTS)).unwrap_err().to_string().contains("0 to 4096"));
    }

    #[test]
    fn every_condition_has_its_filter() {
        let flag = proto::MetadataValue { kind: Some(proto::metadata_value::Kind::Flag(true)) };
        let key = || "k".to_owned();
        let faq = of(Condition::FaqId(proto::FaqIdFilter { faq_ids: vec![key()] }));
        let value = of(Condition::Value(proto::ValueFilter { key: key(), values: vec![flag] }));
        let range = of(Condition::Range(proto::RangeFilter { key: key(), min: Some(1.0), max: None }));
        let all = of(Condition::All(proto::FilterList { filters: vec![faq, value, range] }));
        let expected = Filter::All(vec![
            Filter::FaqId(vec![key()]),
            Filter::In { key: key(), values: vec![crate::engine::MetadataValue::Flag(true)] },
            Filter::Range { key: key(), min: Some(1.0), max: None },
        ]);
        assert_eq!(filter(all).unwrap(), expected);
    }

    #[test]
    fn malformed_filters_are_refused() {
        let range = |min, max| filter(of(Condition::Range(proto::RangeFilter { key: "k".to_owned(), min, max })));
        assert!(range(Some(2.0), Some(1.0)).is_err());
        assert!(range(Some(f64::NAN), None).is_err());
        assert!(range(None, None).is_err());
        assert!(filter(proto::Filter::default()).is_err());
        assert!(filter(of(Condition::FaqId(proto::FaqIdFilter::default()))).is_err());
    }
}
