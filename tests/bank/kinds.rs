//! `simbert eval kinds` with a model of random weights, and what its file does to the model.

use serde_json::{Value, json};

use crate::command::{failure, json, model, stdout};

/// Sentences of which the questions begin with other letters than the rest.
fn lines() -> String {
    let letters: Vec<char> = "信用卡额度提高在哪里查询".chars().collect();
    let text = |i: usize| -> String { (0..4 + i % 3).map(|j| letters[(i + j * (1 + i / 12)) % 12]).collect() };
    (0..120).map(|i| format!("怎么{}？\n还款{}。\n{}\n", text(i), text(i), text(i))).collect()
}

#[test]
fn a_probe_is_fitted_and_one_that_is_damaged_or_another_models_stops_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("lines.txt"), lines()).unwrap();
    std::fs::write(path("judged.txt"), "怎么信用卡额\n").unwrap();
    let (sentences, judged, file) = (path("lines.txt"), path("judged.txt"), path("model/kinds.json"));
    let kinds = ["eval", "kinds", &sentences, "--lines", "160"];
    let search = ["search", "怎么还款", "--bank", "faq"];
    stdout(folder, &["index", "-", "--format", "txt", "--bank", "faq"], "怎么还款\n信用卡额度在哪里查询\n");

    let found = json(folder, &[&kinds[..], &["--output", &path("other.json")]].concat());
    assert!(!std::path::Path::new(&file).exists(), "another place was named");
    assert_eq!((&found["lines"], &found["held_out"]), (&json!(160), &json!(32)));
    assert!(found["accuracy"].as_f64().unwrap() > 0.8, "two letters decide: {found}");

    let text = stdout(folder, &[&kinds[..], &["--except", &judged]].concat(), "");
    assert!(text.contains("told right") && text.contains("wrote "), "{text}");
    let good = std::fs::read_to_string(&file).unwrap();
    let written: Value = serde_json::from_str(&good).unwrap();
    assert_eq!((&written["fitted"]["lines"], &written["fitted"]["file"]), (&json!(160), &json!("lines.txt")));
    assert_eq!(written["probe"]["weights"].as_array().unwrap().len(), 32);
    assert_eq!(written["fingerprint"], json(folder, &["bank", "list"])[0]["model_fingerprint"]);
    stdout(folder, &search, "");

    for bad in ["", "{}", &good[..good.len() / 2]] {
        std::fs::write(&file, bad).unwrap();
        let refused = failure(folder, &search, "");
        assert!(refused.contains("kinds.json is damaged") && refused.contains("eval kinds"), "{refused}");
    }
    let fingerprint = written["fingerprint"].as_str().unwrap();
    std::fs::write(&file, good.replace(fingerprint, "0123456789abcdef")).unwrap();
    for command in [&search[..], &["generate", "怎么还款"]] {
        let refused = failure(folder, command, "");
        let expected = format!("fitted to model 0123456789abcdef, and this is model {fingerprint}");
        assert!(refused.contains(&expected), "{refused}");
    }
    let mut narrow = written.clone();
    narrow["probe"]["weights"].as_array_mut().unwrap().pop();
    std::fs::write(&file, narrow.to_string()).unwrap();
    assert!(failure(folder, &search, "").contains("`kinds.json`: expected 32 weights, received 31"));

    // What is broken can be made anew.
    stdout(folder, &[&kinds[..], &["--except", &judged]].concat(), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), good, "the same lines give the same file");
    stdout(folder, &search, "");
}

#[test]
fn lines_that_cannot_be_fitted_to_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let path = folder.join("lines.txt");
    std::fs::write(&path, "怎么还款？\n还款\n").unwrap();
    let refused = failure(folder, &["eval", "kinds", path.to_str().unwrap()], "");
    assert!(refused.contains("expected at least 50 lines that end in a question mark"), "{refused}");
    assert!(failure(folder, &["eval", "kinds", "no/such/file.txt"], "").contains("cannot read the sentences"));
}
