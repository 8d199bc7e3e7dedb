//! Inputs to write from, with what people wrote for them.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::text::labelled::{is_any, read, short};
use crate::{Error, Result};

/// A sentence and other wordings of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub text: String,
    /// May be empty.
    pub paraphrases: Vec<String>,
}

/// A line of a `.jsonl` file.
#[derive(Deserialize)]
struct Group {
    text: String,
    synonyms: Vec<String>,
}

/// A line of a file of sentences that were written for examples.
#[derive(Deserialize)]
struct Written {
    text: String,
    written: Vec<String>,
}

/// Reads what was written for each of `examples`, lines of `{"text": …, "written": […]}`; by text.
///
/// # Errors
/// The file cannot be read, has a line that is no such record, or has none for an example.
pub fn read_written(path: impl AsRef<Path>, examples: &[Example]) -> Result<HashMap<String, Vec<String>>> {
    let path = path.as_ref();
    let record = |fields: &[&str]| {
        let line: Written = serde_json::from_str(&fields.join("\t"))
            .map_err(|e| format!("expected {{\"text\": …, \"written\": […]}}: {e}"))?;
        Ok((line.text, line.written))
    };
    let written: HashMap<_, _> = read(path, |_| false, record)?.into_iter().collect();
    match examples.iter().find(|example| !written.contains_key(&example.text)) {
        None => Ok(written),
        Some(example) => {
            let expected = format!("a line for `{}`", short(&example.text));
            Err(Error::invalid(path.display().to_string(), expected, "none"))
        }
    }
}

/// Reads examples: of a `.tsv` file `sentence, paraphrase, …` with tabs between them, any number of paraphrases, a
/// header whose second name is `paraphrase` passed over; of a `.jsonl` file `{"text": …, "synonyms": […]}`; of any other
/// file a sentence a line, without paraphrases. A sentence that comes again adds its paraphrases to the first; blank
/// paraphrases are passed over.
///
/// # Errors
/// The file cannot be read, holds no sentence, or has a line that is no such record.
pub fn read_examples(path: impl AsRef<Path>) -> Result<Vec<Example>> {
    let path = path.as_ref();
    let json = |fields: &[&str]| {
        let group: Group = serde_json::from_str(&fields.join("\t"))
            .map_err(|e| format!("expected {{\"text\": …, \"synonyms\": […]}}: {e}"))?;
        Ok((group.text, group.synonyms))
    };
    let tsv =
        |fields: &[&str]| Ok((fields[0].to_owned(), fields[1..].iter().map(|field| (*field).to_owned()).collect()));
    let plain = |fields: &[&str]| Ok((fields.join("\t"), Vec::new()));
    let checked = |(text, paraphrases): (String, Vec<String>)| {
        if text.trim().is_empty() {
            return Err(format!("expected a sentence, received a blank before `{}`", short(&paraphrases.join(" "))));
        }
        Ok((text, paraphrases))
    };
    let records = match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => read(path, |_| false, |fields| json(fields).and_then(checked)),
        Some("tsv") => {
            let header = |fields: &[&str]| fields.len() >= 2 && is_any(fields[1], &["paraphrase"]);
            read(path, header, |fields| tsv(fields).and_then(checked))
        }
        _ => read(path, |_| false, |fields| plain(fields).and_then(checked)),
    }?;
    if records.is_empty() {
        return Err(Error::invalid(path.display().to_string(), "at least one sentence to write from", "none"));
    }
    Ok(grouped(records))
}

fn grouped(records: Vec<(String, Vec<String>)>) -> Vec<Example> {
    let (mut examples, mut at) = (Vec::<Example>::new(), HashMap::new());
    for (text, paraphrases) in records {
        let position = *at.entry(text.clone()).or_insert(examples.len());
        if position == examples.len() {
            examples.push(Example { text, paraphrases: Vec::new() });
        }
        for paraphrase in paraphrases.into_iter().filter(|paraphrase| !paraphrase.trim().is_empty()) {
            if !examples[position].paraphrases.contains(&paraphrase) {
                examples[position].paraphrases.push(paraphrase);
            }
        }
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_file(name: &str, content: &str) -> Result<Vec<Example>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_examples(path)
    }

    fn example(text: &str, paraphrases: &[&str]) -> Example {
        Example { text: text.to_owned(), paraphrases: paraphrases.iter().map(|&text| text.to_owned()).collect() }
    }

    #[test]
    fn three_formats_are_told_by_the_name() {
        let expected = [example("甲", &["乙", "丙"]), example("丁", &[])];
        assert_eq!(read_file("a.tsv", "question\tparaphrase\tparaphrase\n甲\t乙\t丙\n丁\t \n").unwrap(), expected);
        let json = "{\"text\":\"甲\",\"synonyms\":[\"乙\",\t\"丙\"]}\r\n\n{\"text\":\"丁\",\"synonyms\":[]}";
        assert_eq!(read_file("a.jsonl", json).unwrap(), expected);
        assert_eq!(read_file("a.txt", "甲\n丁\n").unwrap(), [example("甲", &[]), example("丁", &[])]);
    }

    #[test]
    fn a_sentence_that_comes_again_adds_its_paraphrases() {
        let examples = read_file("a.tsv", "甲\t乙\n丁\t戊\n甲\t丙\t乙\n").unwrap();
        assert_eq!(examples, [example("甲", &["乙", "丙"]), example("丁", &["戊"])]);
    }

    #[test]
    fn what_was_written_is_found_by_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written.jsonl");
        std::fs::write(&path, "{\"text\":\"甲\",\"written\":[\"乙\",\"丙\"]}\n").unwrap();
        let written = read_written(&path, &[example("甲", &[])]).unwrap();
        assert_eq!(written["甲"], ["乙", "丙"]);
        let error = read_written(&path, &[example("丁", &[])]).unwrap_err().to_string();
        assert!(error.contains("expected a line for `丁`"), "{error}");
    }

    #[test]
    fn a_bad_file_is_refused() {
        for (name, content, reason) in [
            ("a.tsv", "甲\t乙\n\t丙\n", "a.tsv:2: expected a sentence, received a blank before `丙`"),
            ("a.txt", " \n", "a.txt:1: expected a sentence"),
            ("a.jsonl", "{\"text\":\"甲\"}\n", "a.jsonl:1: expected {\"text\": …, \"synonyms\": […]}: missing field"),
            ("a.txt", "\n\n", "expected at least one sentence to write from, received none"),
            ("a.tsv", "question\tparaphrase\n", "expected at least one sentence to write from, received none"),
        ] {
            let error = read_file(name, content).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(read_examples("no/such.tsv").unwrap_err().to_string().starts_with("no/such.tsv: cannot open"));
    }
}
