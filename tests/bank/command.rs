//! `simbert index`, `search`, `expand` and `bank`, with an exported model of random weights.
//!
//! Needs the ONNX Runtime library (`make vendor`).

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use candle_core::Device;
use serde_json::{Value, json};
use simbert::model::{ModelDirectory, Precision, Weights};

use crate::small_disk::SmallDisk;

const LETTERS: &str = "怎么还款借信用卡额度提高在哪里查询";

pub fn model(folder: &Path) {
    let directory = ModelDirectory::create(folder.join("model"));
    std::fs::create_dir_all(directory.root()).unwrap();
    let pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).to_vec();
    let pieces: Vec<String> = pieces.into_iter().chain(LETTERS.chars().map(String::from)).collect();
    let vocabulary: serde_json::Map<String, Value> =
        pieces.iter().enumerate().map(|(id, piece)| (piece.clone(), id.into())).collect();
    let special = |id: usize| {
        json!({ "id": id, "content": pieces[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true })
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": (0..5).map(special).collect::<Vec<_>>(),
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" }, "post_processor": null, "decoder": { "type": "Fuse" },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary },
    });
    let config = json!({
        "vocab_size": pieces.len(), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 64,
    });
    std::fs::write(directory.tokenizer_path(), tokenizer.to_string()).unwrap();
    std::fs::write(directory.config_path(), config.to_string()).unwrap();
    let weights = Weights::random(&directory.config().unwrap(), 1, &Device::Cpu).unwrap();
    weights.save(&directory.weights_path(), Precision::F32).unwrap();
    simbert::onnx::export(&directory).unwrap();
}

pub fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_simbert"))
        .args(arguments)
        .env("SIMBERT_MODEL", folder.join("model"))
        .env("SIMBERT_DATA", folder.join("data"))
        .env_remove("SIMBERT_BANK")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub fn stdout(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(folder, arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    assert!(!errors.contains("warn"), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(folder, &[arguments, &["--json"]].concat(), "")).unwrap()
}

pub fn failure(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(folder, arguments, input);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_bank_is_made_searched_exported_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder);
    let file = folder.join("faq.csv");
    let file = file.to_str().unwrap();
    let questions = "id,question,answer,faq_id,kind,rank\n\
        1,怎么还款,这样,repay,loan,1\n2,在哪里还款,那样,repay,loan,2\n3,信用卡额度怎么提高,打电话,limit,card,3\n";
    std::fs::write(file, questions).unwrap();

    let summary = json(folder, &["index", file, "--bank", "faq", "--batch", "2", "--description", "test"]);
    assert_eq!((&summary["inserted"], &summary["questions"], &summary["skipped"]), (&json!(3), &json!(3), &json!(0)));
    let again = json(folder, &["index", file, "--bank", "faq"]);
    assert_eq!((&again["inserted"], &again["updated"]), (&json!(0), &json!(3)));

    let found = json(folder, &["search", "信用卡额度怎么提高", "--bank", "faq", "-k", "2"]);
    assert_eq!(found["hits"][0]["id"], "3");
    assert_eq!(found["hits"][0]["metadata"], json!({"kind": "card", "rank": 3.0}));
    assert!(found["hits"][0]["score"].as_f64().unwrap() > 0.999 && found["hits"].as_array().unwrap().len() == 2);
    assert!(found["timings"]["search_ms"].is_number());
    let filter = ["--filter", "kind=loan", "--filter", "rank>1"];
    let filtered = stdout(folder, &[&["search", "怎么还款", "--bank", "faq"], &filter[..]].concat(), "");
    assert!(filtered.starts_with("  1  ") && filtered.contains("在哪里还款  2  FAQ repay"), "{filtered}");
    assert_eq!(filtered.lines().count(), 1);
    let grouped = json(folder, &["search", "怎么还款", "--bank", "faq", "--group-by-faq", "--exact"]);
    assert_eq!(grouped["hits"].as_array().unwrap().len(), 2);

    let expanded = json(folder, &["expand", "怎么还款", "--bank", "faq", "--phrases", "3", "-n", "20"]);
    assert!(expanded["phrases"].as_array().unwrap().len() <= 3);
    assert_eq!(expanded["hits"].as_array().unwrap().len(), 3);

    // None of these needs the model.
    std::fs::rename(folder.join("model"), folder.join("elsewhere")).unwrap();
    assert_eq!(json(folder, &["bank", "list"])[0]["questions"], 3);
    assert_eq!(json(folder, &["bank", "status", "faq"])["faqs"], 2);
    assert_eq!(json(folder, &["bank", "get", "faq", "2"])["answer"], "那样");
    assert!(failure(folder, &["bank", "get", "faq", "9"], "").contains("question `9` was not found in bank `faq`"));
    assert_eq!(
        stdout(folder, &["bank", "list-questions", "faq", "--after", "1", "--limit", "1"], ""),
        "2  在哪里还款  FAQ repay\n"
    );
    let export = stdout(folder, &["bank", "export", "faq"], "");
    assert_eq!(export.lines().count(), 3);
    assert_eq!(json(folder, &["bank", "delete-questions", "faq", "1", "9"])["deleted"], 1);
    assert_eq!(json(folder, &["bank", "verify", "faq"])["verified"], 2);
    assert!(failure(folder, &["bank", "delete", "faq"], "").contains("holds 2 questions; pass `--yes`"));
    assert_eq!(stdout(folder, &["bank", "delete", "faq", "--yes"], ""), "bank `faq` deleted\n");
    assert!(failure(folder, &["bank", "status", "faq"], "").contains("bank `faq` was not found"));
    std::fs::rename(folder.join("elsewhere"), folder.join("model")).unwrap();

    // What was exported can be indexed.
    stdout(folder, &["index", "-", "--format", "jsonl", "--bank", "copy"], &export);
    assert_eq!(stdout(folder, &["bank", "export", "copy"], ""), export);

    // A model without a decoder searches, and says why it does not expand.
    std::fs::remove_file(folder.join("model/decoder.onnx")).unwrap();
    stdout(folder, &["search", "怎么还款", "--bank", "copy"], "");
    assert!(failure(folder, &["expand", "怎么还款", "--bank", "copy"], "").contains("run `simbert export "));
}

#[test]
fn bad_lines_stop_the_work_or_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder);
    let lines = "{\"text\": \"怎么还款\"}\n{\"text\": \" \"}\n{\"text\": \"在哪里还款\"}\n";
    let index = ["index", "-", "--format", "jsonl", "--bank", "faq"];
    let refused = failure(folder, &index, lines);
    assert!(
        refused.contains("stopped after 1 questions") && refused.contains("standard input:2: question"),
        "{refused}"
    );
    let output = run(folder, &[&index[..], &["--skip-bad", "--json"]].concat(), lines);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["inserted"], &summary["updated"], &summary["skipped"]), (&json!(1), &json!(1), &json!(1)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("skipped standard input:2"));
    assert!(failure(folder, &["index", "none.csv", "--bank", "faq"], "").contains("none.csv"));
    assert!(failure(folder, &["index", "-", "--bank", "faq"], "").contains("--format"));
    let missing = ["index", "-", "--format", "txt", "--bank", "other", "--no-create"];
    assert!(failure(folder, &missing, "怎么还款\n").contains("bank `other` was not found"));
    assert!(failure(folder, &["search", "怎么还款", "--bank", "other"], "").contains("was not found"));
    for wrong in [&["search", "x", "--bank", ".."][..], &["search", "x", "--bank", "faq", "--filter", "n>=x"]] {
        assert_eq!(run(folder, wrong, "").status.code(), Some(2));
    }
}

/// Starts `simbert index -`, writes `lines` and leaves the pipe open.
fn index_from_pipe(folder: &Path, lines: &str) -> (std::process::Child, std::process::ChildStdin) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_simbert"))
        .args(["index", "-", "--format", "txt", "--bank", "faq", "--batch", "8"])
        .env("SIMBERT_MODEL", folder.join("model"))
        .env("SIMBERT_DATA", folder.join("data"))
        .env_remove("SIMBERT_BANK")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(lines.as_bytes()).unwrap();
    (child, pipe)
}

fn lines(count: usize) -> String {
    (0..count).map(|i| format!("怎么还款{i}\n")).collect()
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder);
    let (mut child, pipe) = index_from_pipe(folder, &lines(100));
    // The first twelve batches are whole; the last four lines wait for more.
    let bank = folder.join("data");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !bank.is_dir() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(30));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(pipe);
    let rest = ["index", "-", "--format", "txt", "--bank", "faq", "--json"];
    let summary: Value = serde_json::from_str(&stdout(folder, &rest, &lines(100))).unwrap();
    let (inserted, unchanged) = (summary["inserted"].as_u64().unwrap(), summary["unchanged"].as_u64().unwrap());
    assert_eq!((inserted + unchanged, &summary["questions"]), (100, &json!(100)), "{summary}");
    assert_eq!(unchanged % 8, 0, "whole batches: {summary}");
}

#[test]
fn a_failed_commit_does_not_wait_for_a_pipe_that_says_nothing() {
    let Some(disk) = SmallDisk::new(48) else { return };
    let folder = disk.path();
    model(folder);
    stdout(folder, &["index", "-", "--format", "txt", "--bank", "faq"], &lines(3));
    std::fs::write(folder.join("ballast"), vec![0; 20 << 20]).unwrap();
    let (mut child, pipe) = index_from_pipe(folder, &lines(100));
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it waits for the pipe");
        std::thread::sleep(Duration::from_millis(20));
    };
    drop(pipe);
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("room") || errors.contains("space"), "{errors}");
}
