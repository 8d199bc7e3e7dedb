//! Filters: recursive, so bounded in depth and size.

use super::question::metadata_value;
use crate::Error;
use crate::engine::Filter;
use crate::server::limits::{FILTER_CONDITIONS, FILTER_DEPTH, FILTER_VALUES, Limits};
use crate::server::proto;
use crate::server::proto::filter::Condition;
use crate::server::refused::{At, Refused};

/// A filter that the engine can evaluate.
///
/// # Errors
/// It nests deeper, or has more conditions or values, than the server's limits let it, or one of them is malformed.
pub fn filter(message: proto::Filter, limits: &Limits) -> Result<Filter, Refused> {
    Seen { limits, conditions: 0, values: 0 }.convert(message, 1)
}

/// What was seen of a filter so far.
struct Seen<'a> {
    limits: &'a Limits,
    conditions: usize,
    values: usize,
}

impl Seen<'_> {
    fn condition(&mut self) -> Result<(), Refused> {
        self.conditions += 1;
        self.limits.within("number of conditions of the filter", self.conditions, FILTER_CONDITIONS).map(drop)
    }

    /// The values of one condition, at least one.
    fn values<T>(&mut self, values: Vec<T>) -> Result<Vec<T>, Refused> {
        self.values += values.len();
        if !values.is_empty() {
            self.limits.within("number of values of the filter", self.values, FILTER_VALUES)?;
        }
        self.limits.items("values of a condition of the filter", values, FILTER_VALUES)
    }

    /// `level` counts from 1.
    fn convert(&mut self, message: proto::Filter, level: usize) -> Result<Filter, Refused> {
        let most = self.limits.filter_depth;
        if level > most {
            let error = Error::invalid("filter", format!("at most {most} levels of nesting"), "a deeper one");
            return Err(Refused::beyond(error, FILTER_DEPTH, most));
        }
        self.condition()?;
        Ok(match message.condition {
            Some(Condition::FaqId(condition)) => {
                Filter::FaqId(self.values(condition.faq_ids).at("faq_ids").at("faq_id")?)
            }
            Some(Condition::Value(proto::ValueFilter { key, values })) => {
                let values = self.values(values).at("values").at("value")?;
                let value = |(place, value)| metadata_value(&key, value).at(format!("value.values[{place}]"));
                let values = values.into_iter().enumerate().map(value).collect::<Result<_, Refused>>()?;
                Filter::In { key, values }
            }
            Some(Condition::Range(proto::RangeFilter { key, min, max })) => range(key, min, max).at("range")?,
            Some(Condition::Exists(condition)) => Filter::Exists { key: condition.key },
            Some(Condition::All(filters)) => Filter::All(self.list(filters, level).at("all")?),
            Some(Condition::Any(filters)) => Filter::Any(self.list(filters, level).at("any")?),
            Some(Condition::Not(part)) => Filter::Not(Box::new(self.convert(*part, level + 1).at("not")?)),
            None => return Err(Error::invalid("filter", "a condition", "a filter without one").into()),
        })
    }

    fn list(&mut self, list: proto::FilterList, level: usize) -> Result<Vec<Filter>, Refused> {
        let parts = list.filters.into_iter().enumerate();
        parts.map(|(place, part)| self.convert(part, level + 1).at(format!("filters[{place}]"))).collect()
    }
}

fn range(key: String, min: Option<f64>, max: Option<f64>) -> crate::Result<Filter> {
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

    fn filter(message: proto::Filter) -> Result<Filter, Refused> {
        super::filter(message, &Limits::default())
    }

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
        assert!(filter(nested(8)).is_ok());
        let message = filter(nested(8 + 1)).unwrap_err().to_string();
        let expected = "filter: expected at most 8 levels of nesting, received a deeper one; the server's \
            `--max-filter-depth` sets this limit";
        assert_eq!(message, expected);
    }

    #[test]
    fn size_is_bounded_over_all_conditions() {
        let any = |filters| of(Condition::Any(proto::FilterList { filters }));
        assert!(filter(any(vec![exists(); 1000 - 1])).is_ok());
        let message = filter(any(vec![exists(); 1000])).unwrap_err().to_string();
        assert!(
            message.starts_with("number of conditions of the filter: expected 1 to 1000, received 1001; "),
            "{message}"
        );
        let faqs = |values| of(Condition::FaqId(proto::FaqIdFilter { faq_ids: vec!["f".to_owned(); values] }));
        assert!(filter(any(vec![faqs(2048), faqs(2048)])).is_ok());
        assert!(filter(any(vec![faqs(2048), faqs(2049)])).unwrap_err().to_string().contains("received 4097"));
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
    fn a_fault_is_named_by_its_path() {
        let value = of(Condition::Value(proto::ValueFilter { key: "k".to_owned(), values: vec![Default::default()] }));
        let any = of(Condition::Any(proto::FilterList { filters: vec![exists(), value] }));
        let refused = filter(of(Condition::Not(Box::new(any)))).unwrap_err();
        assert_eq!(refused.field, "not.any.filters[1].value.values[0]");
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
