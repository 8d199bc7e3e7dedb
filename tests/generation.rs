//! `simbert eval generation` as a user meets it, on the bundled model, and the bundled file that it is run on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

use serde_json::{Map, Value};
use simbert::eval::{SentenceRules, WordList, read_examples};
use simbert::generate::folded;
use simbert::model::ModelDirectory;
use simbert::onnx::{Stamp, export};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn simbert(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simbert"));
    command.args(["eval", "generation"]).args(arguments).env_remove("SIMBERT_MODEL").output().unwrap()
}

/// Judges a few samples of the bundled model, which is exported first where it is not.
fn judge(arguments: &[&str]) -> Output {
    static EXPORT: Once = Once::new();
    let model = data("model");
    EXPORT.call_once(|| {
        let directory = ModelDirectory::open(&model).unwrap();
        if Stamp::check(&directory, &directory.encoder_path()).is_err() {
            export(&directory).unwrap();
        }
    });
    let output = simbert(&[&["--model", model.to_str().unwrap(), "-n", "8", "-k", "4"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress bar off a terminal");
    output
}

fn json(arguments: &[&str]) -> Map<String, Value> {
    let output = judge(&[arguments, &["--json"]].concat());
    let mut result: Map<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    // The one figure that no seed fixes.
    assert!(result.remove("seconds_per_input").and_then(|seconds| seconds.as_f64()).unwrap() > 0.0);
    // And one whose last bits depend on what shares a batch with a sentence.
    if let Some(similarity) = result.get("similarity").and_then(Value::as_f64) {
        result.insert("similarity".to_owned(), ((similarity * 1e4).round() / 1e4).into());
    }
    result
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn it_judges_every_format_and_repeats_itself() {
    let folder = tempfile::tempdir().unwrap();
    let table = write(folder.path(), "a.tsv", "怎么修改密码\t如何更改密码\n今天我要加班\t我今天加班\n");
    let groups = "{\"text\":\"怎么修改密码\",\"synonyms\":[\"如何更改密码\"]}\n{\"text\":\"今天我要加班\",\"synonyms\":[\"我今天加班\"]}";
    let groups = write(folder.path(), "a.jsonl", groups);
    let result = json(&[&table]);
    assert_eq!((&result["inputs"], &result["questions"], &result["labelled"]), (&2.into(), &1.into(), &2.into()));
    assert_eq!(result["distinct"], 1.0, "what folds alike comes back once: {result:?}");
    for share in ["self_bleu", "copy_rate", "coverage", "soft_coverage", "statements_kept", "questions_kept"] {
        let value = result[share].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&value), "{share}: {result:?}");
    }
    assert!(result["similarity"].as_f64().unwrap() > 0.5 && result["returned"].as_f64().unwrap() > 1.0, "{result:?}");
    assert_eq!((&result["samples"], &result["k"], &result["seed"]), (&8.into(), &4.into(), &42.into()));
    assert_eq!(result, json(&[&table]), "the seed is fixed");
    assert_eq!(result, json(&[&groups]), "the format makes no difference");

    let lines = write(folder.path(), "a.txt", "怎么修改密码\n今天我要加班\n");
    let without_labels = json(&[&lines]);
    assert_eq!((&without_labels["labelled"], &without_labels["coverage"]), (&0.into(), &Value::Null));
    let similarity = |result: &Map<String, Value>| result["similarity"].as_f64().unwrap();
    assert!((similarity(&without_labels) - similarity(&result)).abs() < 1e-5);
    assert_ne!(without_labels["similarity"], json(&[&lines, "--seed", "1"])["similarity"]);
}

/// Lines of JSON without their scores, whose last bits depend on what shares a batch with a sentence.
fn texts(lines: &str) -> Vec<Value> {
    fn without_scores(value: &mut Value) {
        match value {
            Value::Array(all) => all.iter_mut().for_each(without_scores),
            Value::Object(fields) => {
                fields.remove("score");
                fields.values_mut().for_each(without_scores);
            }
            _ => {}
        }
    }
    let read = |line: &str| serde_json::from_str(line).unwrap();
    let mut values: Vec<Value> = lines.lines().map(read).collect();
    values.iter_mut().for_each(without_scores);
    values
}

/// The command for a file: whole, stopped in the middle of a line, and started again.
#[test]
fn a_file_is_written_for_and_gone_on_with() {
    judge(&["--help"]); // exports the model
    let folder = tempfile::tempdir().unwrap();
    let questions =
        write(folder.path(), "q.tsv", "id\tquestion\na\t怎么修改密码\nb\t手机没有信号怎么办\nc\t如何退款\n");
    let output = folder.path().join("similar.jsonl");
    let model = data("model");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simbert"));
        command.args(["generate", "--model", model.to_str().unwrap(), "-n", "12", "-k", "3"]).args(arguments);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let file = ["--file", &questions, "--output", output.to_str().unwrap()];
    assert_eq!(run(&file), (Some(0), String::new(), String::new()));
    let whole = std::fs::read_to_string(&output).unwrap();
    let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(lines[2]["text"], "如何退款");
    for line in &lines {
        let scores: Vec<f64> =
            line["paraphrases"].as_array().unwrap().iter().map(|p| p["score"].as_f64().unwrap()).collect();
        assert!((1..=3).contains(&scores.len()) && scores.iter().all(|score| (0.5..=1.0).contains(score)), "{line}");
    }
    // To standard output, and alone, it is the same.
    assert_eq!(texts(&run(&["--file", &questions]).1), texts(&whole));
    let alone = run(&["手机没有信号怎么办", "--json"]).1;
    let alone: Vec<Value> = alone.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(texts(&lines[1]["paraphrases"].to_string()), texts(&Value::Array(alone).to_string()));

    for kept in [0, 5, whole.find('\n').unwrap(), whole.find('\n').unwrap() + 1, whole.len() - 1] {
        std::fs::write(&output, &whole.as_bytes()[..kept]).unwrap();
        let (code, _, message) = run(&file);
        assert_eq!(code, Some(0), "{message}");
        assert_eq!(texts(&std::fs::read_to_string(&output).unwrap()), texts(&whole), "{kept} bytes were left");
    }
    let (code, _, message) = run(&file);
    assert!(code == Some(0) && message.contains("3 of 3 questions were done before"), "{message}");

    let others = write(folder.path(), "other.txt", "怎么开发票\n");
    let (code, _, message) = run(&["--file", &others, "--output", output.to_str().unwrap()]);
    assert!(code == Some(1) && message.contains("is not the output of a run over"), "{message}");
    assert_eq!(texts(&std::fs::read_to_string(&output).unwrap()), texts(&whole), "and is left as it was");
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["甲", "--file", &questions]).0, Some(2));
}

#[test]
fn the_lists_of_words_decide_what_is_a_question() {
    let folder = tempfile::tempdir().unwrap();
    let lines = write(folder.path(), "a.txt", "怎么修改密码\n今天我要加班\n");
    let words = write(folder.path(), "words.txt", "怎么\n加班\n");
    let result = json(&[&lines, "--question-words", &words]);
    assert_eq!((&result["questions"], &result["statements_kept"]), (&2.into(), &Value::Null));
}

#[test]
fn the_table_has_the_bars() {
    let folder = tempfile::tempdir().unwrap();
    let table = String::from_utf8(judge(&[&write(folder.path(), "a.txt", "怎么修改密码\n")]).stdout).unwrap();
    for start in [
        "inputs ",
        "distinct (bar: at least 0.90)  ",
        "mean cosine (bar: at least 0.80)  ",
        "copy rate (bar: at most 0.25)  ",
        "statements stay so (bar: at least 0.90)         –",
    ] {
        assert!(table.lines().any(|line| line.starts_with(start)), "no `{start}`: {table}");
    }
}

#[test]
fn what_is_wrong_is_said_before_the_model_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let fine = write(folder.path(), "a.txt", "怎么修改密码\n");
    let bad = write(folder.path(), "bad.jsonl", "{\"text\":\"甲\",\"synonyms\":[]}\n{\"text\":\"甲\"\n");
    let empty = write(folder.path(), "empty.tsv", "");
    let phrase = write(folder.path(), "words.txt", "how much\n");
    for (arguments, reason) in [
        (&["no/such.tsv"][..], "no/such.tsv: cannot open"),
        (&[&bad], "bad.jsonl:2: expected {\"text\": …, \"synonyms\": […]}"),
        (&[&fine, &empty], "empty.tsv: expected at least one sentence"),
        (&[&fine, "--particles", &phrase], "words.txt:1: expected one word"),
        (&[&fine, "--question-words", "no/such.txt"], "no/such.txt: cannot read"),
        (&[&fine, "--samples", "0"], "samples: expected 1 to 1000, received 0"),
        (&[&fine, "--top-p", "1.5"], "top_p: expected above 0 and at most 1"),
        (&[&fine, "-k", "0"], "k: expected at least 1"),
        (&[&fine, "--min-score", "-2"], "min_score: expected a cosine"),
    ] {
        let output = simbert(&[arguments, &["--model", "no/such/model"]].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("error: ") && message.contains(reason), "{reason}: {message}");
    }
    assert_eq!(simbert(&[]).status.code(), Some(2));
}

#[test]
fn the_bundled_questions_are_questions_and_the_statements_are_not() {
    let list = |name| WordList::read(data(name)).unwrap();
    let rules = SentenceRules {
        particles: list("generation/particles.txt"),
        question_words: list("generation/question-words.txt"),
    };
    for (file, least, questions) in [("questions", 60, true), ("statements", 40, false)] {
        let examples = read_examples(data(&format!("generation/{file}.tsv"))).unwrap();
        assert!(examples.len() >= least);
        for example in examples {
            assert!((2..=4).contains(&example.paraphrases.len()), "{example:?}");
            for text in std::iter::once(&example.text).chain(&example.paraphrases) {
                assert_eq!(rules.is_question(text), questions, "{text}");
            }
            assert!(example.paraphrases.iter().all(|text| !rules.is_copy(&example.text, text)), "{example:?}");
        }
    }
}

#[test]
fn no_bundled_sentence_is_trained_on_or_in_the_bank() {
    let mut others = HashSet::new();
    for file in ["faq/standard.tsv", "faq/queries.tsv"] {
        let text = std::fs::read_to_string(data(file)).unwrap();
        others.extend(text.lines().flat_map(|line| line.split('\t').map(folded)));
    }
    for example in read_examples(data("pairs/everyday.jsonl")).unwrap() {
        others.extend(std::iter::once(&example.text).chain(&example.paraphrases).map(|text| folded(text)));
    }
    let mut seen = HashSet::new();
    for file in ["generation/questions.tsv", "generation/statements.tsv"] {
        for example in read_examples(data(file)).unwrap() {
            for text in std::iter::once(&example.text).chain(&example.paraphrases) {
                assert!(!others.contains(&folded(text)), "{text}");
                assert!(seen.insert(folded(text)), "{text} comes twice");
            }
        }
    }
}
