//! `simbert generate --file`: similar questions for a whole file, a line of JSON each.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::cli::open;
use crate::cli::sampling::SamplingArgs;
use crate::engine::{Question, QuestionFile, QuestionFormat};
use crate::generate::{GenerateRequest, Paraphrase, Paraphraser};

/// A line of the output.
#[derive(Serialize)]
struct Line {
    id: String,
    text: String,
    paraphrases: Vec<Paraphrase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What tells a line of an earlier run from others.
#[derive(Deserialize)]
struct Found {
    id: String,
    text: String,
    #[serde(rename = "paraphrases")]
    _paraphrases: IgnoredAny,
}

/// Questions to write for, and where their lines go.
pub struct Bank {
    questions: Vec<Question>,
    /// How many of them have a line already.
    done: usize,
    output: Box<dyn Write>,
}

impl Bank {
    /// Reads the questions, and what `output` holds of an earlier run.
    ///
    /// # Errors
    /// A file cannot be read, a line of it is bad, or `output` is not of these questions.
    pub fn open(path: &Path, format: Option<QuestionFormat>, output: Option<&Path>) -> anyhow::Result<Self> {
        let questions = QuestionFile::open(path, format)?.collect::<crate::Result<Vec<Question>>>()?;
        ensure!(!questions.is_empty(), "{} holds no question", path.display());
        let Some(output) = output else {
            return Ok(Self { questions, done: 0, output: Box::new(std::io::stdout()) });
        };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(output);
        let mut file = file.with_context(|| format!("cannot open {}", output.display()))?;
        let (done, bytes) = read_back(&file, &questions).with_context(|| {
            format!("{} is not the output of a run over {}; name another file", output.display(), path.display())
        })?;
        // What a killed process left of a line goes away.
        file.set_len(bytes).and_then(|()| file.seek(SeekFrom::Start(bytes)))?;
        Ok(Self { questions, done, output: Box::new(file) })
    }

    /// Writes for every question that has no line yet; the model is opened if there is one.
    ///
    /// # Errors
    /// The model cannot be opened, the output cannot be written, or a question failed.
    pub fn write(
        mut self,
        paraphraser: impl FnOnce() -> anyhow::Result<Paraphraser>,
        sampling: &SamplingArgs,
    ) -> anyhow::Result<()> {
        let left = &self.questions[self.done..];
        if self.done > 0 {
            eprintln!("{} of {} questions were done before", self.done, self.questions.len());
        }
        if left.is_empty() {
            return Ok(());
        }
        let bar = open::bar("questions written for")?;
        bar.set_length(self.questions.len() as u64);
        bar.set_position(self.done as u64);
        bar.reset_eta();
        let requests: Vec<GenerateRequest> = left.iter().map(|question| sampling.request(&question.text)).collect();
        let mut failed = 0;
        paraphraser()?.generate_many(&requests, |place, result| {
            failed += usize::from(result.is_err());
            let line = line(&left[place], result);
            self.output
                .write_all(line.as_bytes())
                .and_then(|()| self.output.flush())
                .map_err(|e| crate::Error::io("write the similar questions", "the output", e))?;
            bar.inc(1);
            Ok(())
        })?;
        bar.finish_and_clear();
        if failed > 0 {
            bail!("{failed} of {} questions failed; their lines say why", left.len());
        }
        Ok(())
    }
}

fn line(question: &Question, result: crate::Result<Vec<Paraphrase>>) -> String {
    let (paraphrases, error) = match result {
        Ok(written) => (written, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let line = Line { id: question.id.to_string(), text: question.text.clone(), paraphrases, error };
    serde_json::json!(line).to_string() + "\n"
}

/// Whether a line for `question` may begin so.
fn may_begin(question: &Question, start: &[u8]) -> bool {
    let whole = line(question, Ok(Vec::new()));
    let (written, _) = whole.split_once("[]").unwrap_or((&whole, ""));
    ["{\"error\":", written].iter().any(|begin| start.iter().zip(begin.as_bytes()).all(|(a, b)| a == b))
}

/// How many questions have a whole line in `file`, and where the last of these ends.
fn read_back(file: &File, questions: &[Question]) -> anyhow::Result<(usize, u64)> {
    let mut reader = BufReader::new(file);
    let (mut done, mut bytes, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok((done, bytes));
        }
        let number = done + 1;
        let question = questions.get(done).with_context(|| format!("line {number} is past the last question"))?;
        if !line.ends_with(b"\n") {
            ensure!(may_begin(question, &line), "line {number} is not one of these lines");
            return Ok((done, bytes));
        }
        let Found { id, text, .. } =
            serde_json::from_slice(&line).with_context(|| format!("line {number} is not one of these lines"))?;
        let same = question.id.to_string() == id && question.text == text;
        ensure!(same, "line {number} is for question {id}, where {} was expected", question.id);
        done = number;
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(count: usize) -> Vec<Question> {
        let table: String = (0..count).map(|i| format!("q{i}\tquestion {i}\n")).collect();
        let source = Box::new(std::io::Cursor::new(table));
        let file = QuestionFile::new(source, Path::new("table"), QuestionFormat::Tsv).unwrap();
        file.collect::<crate::Result<_>>().unwrap()
    }

    fn holding(content: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn whole_lines_are_done_and_a_torn_one_is_not() {
        let questions = questions(3);
        let written = vec![Paraphrase { text: "another\nwording".to_owned(), score: 0.5 }];
        let first = line(&questions[0], Ok(written));
        let second = line(&questions[1], Err(crate::Error::invalid("text", "a question", "none")));
        assert!(first.ends_with("}\n") && first.matches('\n').count() == 1, "{first}");
        assert!(second.contains("\"error\":\"text: expected a question"), "{second}");
        let both = format!("{first}{second}");
        let third = line(&questions[2], Ok(Vec::new()));
        for torn in ["", "{", "{\"id", "{\"err", "{\"error\":\"te", &third[..third.len() - 1]] {
            let (done, bytes) = read_back(&holding(&format!("{both}{torn}")), &questions).unwrap();
            assert_eq!((done, bytes), (2, both.len() as u64), "{torn}");
        }
        assert_eq!(read_back(&holding(""), &questions).unwrap(), (0, 0));
    }

    #[test]
    fn the_lines_of_other_questions_are_refused() {
        let questions = questions(2);
        let line_of = |i: usize| line(&questions[i], Ok(Vec::new()));
        let refused = |content: String| format!("{:#}", read_back(&holding(&content), &questions).unwrap_err());
        assert!(refused(line_of(1)).contains("line 1 is for question q1, where q0 was expected"));
        for other in ["a,b\n", "{\"precious\":1}", "{\"id\":\"q1\"", "{\"id\":\"q0\",\"text\":\"question 0\"}\n"] {
            assert!(refused(other.to_owned()).contains("line 1 is not one of these lines"), "{other}");
        }
        assert!(refused(line_of(0) + &line_of(1) + &line_of(1)).contains("line 3 is past the last question"));
    }
}
