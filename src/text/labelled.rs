//! The labelled files: UTF-8, one record a line, fields separated by tabs.
//!
//! There is no quoting: a quotation mark is a character like any other. A header row is recognised by its names and
//! skipped, as are blank lines, a byte order mark and the `\r` of Windows line ends.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::{Error, Result};

/// Two sentences and how alike people found them.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledPair {
    pub a: String,
    pub b: String,
    /// Higher is more alike: 0 or 1, or 0 to 5. Only the order of the labels counts.
    pub label: f32,
}

/// A question and the FAQ it belongs to: a standard question, or a user's query with the id of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaqQuestion {
    pub id: String,
    pub text: String,
}

/// Reads `sentence, sentence, label`. The header's third name is `label`, `score` or `similarity`.
///
/// # Errors
/// The file cannot be read, or a line has another number of fields or a label that is no finite number.
pub fn read_pairs(path: impl AsRef<Path>) -> Result<Vec<LabelledPair>> {
    let header = |fields: &[&str]| fields.len() == 3 && is_any(fields[2], &["label", "score", "similarity"]);
    read(path.as_ref(), header, |fields| {
        let [a, b, label] = fields else {
            return Err(format!("expected 3 fields `sentence, sentence, label`, received {}", fields.len()));
        };
        let label: Option<f32> = label.trim().parse().ok().filter(|label: &f32| label.is_finite());
        let label = label.ok_or_else(|| format!("expected a number as the label, received `{}`", short(fields[2])))?;
        Ok(LabelledPair { a: (*a).to_owned(), b: (*b).to_owned(), label })
    })
}

/// Reads `id, question` and passes over what follows, such as an answer; the header begins with `id` and `question`.
/// Several phrasings may share one id.
///
/// # Errors
/// The file cannot be read, or a line has one field only, a blank id or a blank question.
pub fn read_standard(path: impl AsRef<Path>) -> Result<Vec<FaqQuestion>> {
    let header = |fields: &[&str]| fields.len() >= 2 && is_any(fields[0], &["id"]) && is_any(fields[1], &["question"]);
    read(path.as_ref(), header, |fields| {
        let [id, question, ..] = fields else {
            return Err("expected the fields `id, question, …` with tabs between them, received one field".to_owned());
        };
        if question.trim().is_empty() {
            return Err("expected a question in the second field, received a blank".to_owned());
        }
        Ok(FaqQuestion { id: checked_id(id)?, text: (*question).to_owned() })
    })
}

/// Reads `question, id`; the header is `question` and `id`.
///
/// # Errors
/// The file cannot be read, or a line has another number of fields or a blank id.
pub fn read_queries(path: impl AsRef<Path>) -> Result<Vec<FaqQuestion>> {
    let header = |fields: &[&str]| fields.len() == 2 && is_any(fields[0], &["question"]) && is_any(fields[1], &["id"]);
    read(path.as_ref(), header, |fields| {
        let [question, id] = fields else {
            return Err(format!("expected 2 fields `question, id`, received {}", fields.len()));
        };
        Ok(FaqQuestion { id: checked_id(id)?, text: (*question).to_owned() })
    })
}

fn checked_id(id: &str) -> Result<String, String> {
    let id = id.trim();
    if id.is_empty() { Err("expected an id, received a blank".to_owned()) } else { Ok(id.to_owned()) }
}

pub(crate) fn is_any(field: &str, names: &[&str]) -> bool {
    names.iter().any(|name| field.trim().eq_ignore_ascii_case(name))
}

/// The beginning of a field, for a message.
pub(crate) fn short(field: &str) -> String {
    field.chars().take(40).collect()
}

/// Parses every line; `parse` says what is wrong with its fields.
pub(crate) fn read<T>(
    path: &Path,
    is_header: impl Fn(&[&str]) -> bool,
    parse: impl Fn(&[&str]) -> Result<T, String>,
) -> Result<Vec<T>> {
    let file = File::open(path).map_err(|e| Error::io("open the labelled file", path, e))?;
    let mut file = BufReader::new(file);
    let (mut records, mut bytes, mut line) = (Vec::new(), Vec::new(), 0);
    loop {
        bytes.clear();
        if file.read_until(b'\n', &mut bytes).map_err(|e| Error::io("read the labelled file", path, e))? == 0 {
            return Ok(records);
        }
        line += 1;
        let bad = |reason: String| Error::BadLine { path: path.to_owned(), line, reason };
        let text = std::str::from_utf8(&bytes).map_err(|e| bad(format!("expected UTF-8: {e}")))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let text = if line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        if text.is_empty() {
            continue;
        }
        let fields: Vec<&str> = text.split('\t').collect();
        if line == 1 && is_header(&fields) {
            continue;
        }
        records.push(parse(&fields).map_err(bad)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(content: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_ref()).unwrap();
        file
    }

    fn question(id: &str, text: &str) -> FaqQuestion {
        FaqQuestion { id: id.to_owned(), text: text.to_owned() }
    }

    fn reason<T: std::fmt::Debug>(result: Result<Vec<T>>) -> (u64, String) {
        match result.unwrap_err() {
            Error::BadLine { line, reason, .. } => (line, reason),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn quotation_marks_are_ordinary_characters() {
        let pairs = read_pairs(file("\"甲\t乙\"丙\" \t1\n\"\t\"\t0.5").path()).unwrap();
        let pair = |a: &str, b: &str, label| LabelledPair { a: a.to_owned(), b: b.to_owned(), label };
        assert_eq!(pairs, [pair("\"甲", "乙\"丙\" ", 1.0), pair("\"", "\"", 0.5)]);
    }

    #[test]
    fn a_header_a_mark_and_windows_line_ends_are_passed_over() {
        let file = |content: &str| file(format!("\u{feff}{}", content.replace('\n', "\r\n")));
        assert_eq!(read_pairs(file("sentence1\tsentence2\tScore\n甲\t乙\t3.5\n\n").path()).unwrap().len(), 1);
        let standard = [question("1", "怎么还款"), question("2", "怎么借款")];
        assert_eq!(
            read_standard(file("id\tquestion\tanswer\tdomain\n1\t怎么还款\t这样\t银行\n2\t怎么借款\n").path()).unwrap(),
            standard
        );
        assert_eq!(read_standard(file("1\t怎么还款\n2\t怎么借款").path()).unwrap(), standard);
        assert_eq!(read_queries(file("question\tid\n还钱\t 1 \n").path()).unwrap(), [question("1", "还钱")]);
        assert_eq!(read_queries(file("还钱\t1\n").path()).unwrap(), [question("1", "还钱")]);
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(reason(read_pairs(file("甲\t乙\t1\n甲\t乙\n").path())).0, 2);
        assert_eq!(reason(read_pairs(file("甲\t乙\t1\n甲\t乙\t丙\t1\n").path())).0, 2);
        for label in ["", "yes", "nan", "inf"] {
            let (line, reason) = reason(read_pairs(file(format!("甲\t乙\t1\n甲\t乙\t{label}\n")).path()));
            assert_eq!((line, reason), (2, format!("expected a number as the label, received `{label}`")));
        }
        assert_eq!(reason(read_standard(file("1\n").path())).0, 1);
        assert_eq!(reason(read_standard(file("1\t \n").path())).0, 1);
        assert_eq!(reason(read_standard(file(" \t怎么还款\n").path())).0, 1);
        assert_eq!(reason(read_queries(file("还钱\t1\t2\n").path())).0, 1);
        assert!(reason(read_queries(file(b"\xff\xfe\t1\n").path())).1.contains("UTF-8"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_pairs("no/such/file.tsv").unwrap_err().to_string();
        assert!(error.starts_with("no/such/file.tsv: cannot open the labelled file"), "{error}");
    }
}
