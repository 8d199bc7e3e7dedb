//! The command line as a user meets it: help, mistakes, failures, and `simbert eval` on a model of random weights.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::Device;
use serde_json::{Value, json};
use simbert::model::{ModelDirectory, Precision, Weights};
use simbert::runtime::DISABLE_TELEMETRY;

fn simbert<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simbert"))
        .args(arguments)
        .env_remove("SIMBERT_MODEL")
        .env_remove("SIMBERT_DATA")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The help of every command and sub-command, found by walking from `simbert --help`.
fn every_help() -> Vec<(Vec<String>, String)> {
    let (mut open, mut found) = (vec![Vec::<String>::new()], Vec::new());
    while let Some(command) = open.pop() {
        let output = simbert(&[&command[..], &["--help".to_owned()]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", stderr(&output));
        let help = stdout(&output);
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        for name in names.filter(|name| !name.is_empty() && *name != "help") {
            open.push([&command[..], &[name.to_owned()]].concat());
        }
        found.push((command, help));
    }
    found
}

#[test]
fn every_command_says_what_it_does() {
    let helps = every_help();
    for name in ["train", "export", "encode", "index", "search", "generate", "expand", "bank", "eval", "serve", "demo"]
    {
        assert!(helps.iter().any(|(command, _)| command.first().is_some_and(|first| first == name)), "no `{name}`");
    }
    for (command, help) in helps {
        let usage = format!("Usage: {}", [&["simbert".to_owned()], &command[..]].concat().join(" "));
        assert!(help.contains(&usage), "{command:?}: {help}");
        assert!(!help.lines().next().unwrap().is_empty() && !help.starts_with("Usage"), "{command:?}: {help}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for (command, _) in every_help() {
        let output = simbert(&[&command[..], &["--no-such-flag".to_owned()]].concat());
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(stderr(&output).contains("--no-such-flag"), "{}", stderr(&output));
        assert!(stdout(&output).is_empty());
    }
    for wrong in [
        &["no-such-command"][..],
        &[],
        &["eval"],
        &["eval", "sts"],
        &["eval", "faq", "--standard", "s.tsv"],
        &["eval", "calibrate"],
    ] {
        assert_eq!(simbert(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let faq = ["--standard", "s.tsv", "--query", "q.tsv"];
    let wrong = [&["--standard", "s.tsv"][..], &["--query", "q.tsv"], &["pairs.tsv", "--hits", "3"], &["--dry-run"]];
    for wrong in wrong.into_iter().chain([&[&faq[..], &["pairs.tsv"]].concat()[..]]) {
        let output = simbert(&[&["eval", "calibrate"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "eval calibrate {wrong:?}: {}", stderr(&output));
    }
    let faq = ["eval", "faq", "--standard", "s.tsv", "--query", "q.tsv", "--expand"];
    for phrases in ["0", "101", "-1", "many"] {
        assert_eq!(simbert(&[&faq[..], &[phrases]].concat()).status.code(), Some(2), "--expand {phrases}");
    }
}

/// It failed, and said why in one sentence on standard error.
fn assert_failed(arguments: &[&str], reason: &str) {
    let output = simbert(arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(message.starts_with("error: ") && message.contains(reason), "{arguments:?}: {message}");
    assert!(stdout(&output).is_empty() && !message.contains("panicked"), "{arguments:?}: {message}");
}

#[test]
fn a_failure_exits_with_1_and_a_reason() {
    let model = ["--model", "no/such/model"];
    assert_failed(
        &[&["eval", "sts", "pairs.tsv"][..], &model].concat(),
        "model directory `no/such/model` was not found",
    );
    let faq = ["eval", "faq", "--standard", "s.tsv", "--query", "q.tsv"];
    assert_failed(&[&faq[..], &model].concat(), "model directory `no/such/model` was not found");
    assert_failed(&["train", "no/such/config.toml"], "no/such/config.toml");
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_is_a_failure() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let data = tempfile::tempdir().unwrap();
    let list = ["bank", "list", "--json", "--data", data.path().to_str().unwrap()];
    for arguments in [&["serve", "--print-config"][..], &list] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simbert"));
        let output = command.args(arguments).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = simbert(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = stdout(&output);
        assert!(["generate", "expand", "completions"].iter().all(|name| script.contains(name)), "{shell}");
    }
    assert_eq!(simbert(&["completions", "tcsh"]).status.code(), Some(2));
}

/// A model directory with random weights, not exported yet.
fn model(folder: &Path, seed: u64) -> ModelDirectory {
    let directory = ModelDirectory::create(folder.join("model"));
    std::fs::create_dir_all(directory.root()).unwrap();
    let pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).to_vec();
    let pieces: Vec<String> = pieces.into_iter().chain("怎么还借款信用卡额度".chars().map(String::from)).collect();
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
        "pre_tokenizer": { "type": "BertPreTokenizer" }, "post_processor": null,
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary },
    });
    let config = json!({
        "vocab_size": pieces.len(), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 64,
    });
    std::fs::write(directory.tokenizer_path(), tokenizer.to_string()).unwrap();
    std::fs::write(directory.config_path(), config.to_string()).unwrap();
    let weights = Weights::random(&directory.config().unwrap(), seed, &Device::Cpu).unwrap();
    weights.save(&directory.weights_path(), Precision::F32).unwrap();
    directory
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

const STANDARD: &str = "id\tquestion\tanswer\n还款\t怎么还款\t这样\n还款\t还款怎么还\t这样\n额度\t信用卡额度\t那样\n";
const QUERIES: &str = "question\tid\n怎么还款\t还款\n信用卡额度\t额度\n怎么还款\t还款\n";

#[test]
fn eval_exports_a_model_once_and_judges_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = model(folder.path(), 1);
    let root = directory.root().to_str().unwrap();
    let path = |name, content| write(folder.path(), name, content).to_str().unwrap().to_owned();
    let pairs = path("pairs.tsv", "怎么还款\t怎么还款\t5\n怎么还款\t怎么借款\t3\n怎么还款\t信用卡\"额度\t0\n");
    let (standard, queries) = (path("standard.tsv", STANDARD), path("queries.tsv", QUERIES));
    let sts = ["eval", "sts", &pairs, "--model", root, "--threads", "1"];
    let faq = ["eval", "faq", "--standard", &standard, "--query", &queries, "--model", root, "--threads", "1"];

    let first = simbert(&sts);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert!(stderr(&first).contains("writing the ONNX graphs"), "{}", stderr(&first));
    assert!(directory.encoder_path().is_file() && directory.decoder_path().is_file());
    let json = |arguments: &[&str]| -> serde_json::Map<String, Value> {
        let output = simbert(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stderr(&output), "", "no progress bar off a terminal");
        assert_eq!(stdout(&output).lines().count(), 1);
        serde_json::from_slice(&output.stdout).unwrap()
    };

    let result = json(&sts);
    assert_eq!(result.keys().collect::<Vec<_>>(), ["pairs", "spearman"]);
    assert_eq!(result["pairs"], 3);
    assert!(result["spearman"].as_f64().unwrap() >= 50.0, "the equal pair comes first: {result:?}");

    // Every query is one of the standard questions, so any model finds all of them.
    let perfect = json!({ "queries": 3, "recall_at_1": 1.0, "recall_at_10": 1.0, "mrr_at_10": 1.0 });
    assert_eq!(Value::Object(json(&faq)), perfect);
    let expanded = json(&[&faq[..], &["--expand", "2"]].concat());
    assert_eq!(expanded["recall_at_10"], 1.0);
    assert_eq!(expanded, json(&[&faq[..], &["--expand", "2"]].concat()), "the seed is fixed");
    assert_eq!(
        stdout(&simbert(&faq)),
        "queries           3\nrecall@1     1.0000\nrecall@10    1.0000\nMRR@10       1.0000\n"
    );

    let bad = path("bad.tsv", "怎么还款\t怎么借款\t1\n怎么还款\t怎么借款\n");
    assert_failed(&["eval", "sts", &bad, "--model", root], "bad.tsv:2: expected 3 fields");
    let stray = path("stray.tsv", "怎么还款\t利率\n");
    assert_failed(&["eval", "faq", "--standard", &standard, "--query", &stray, "--model", root], "received `利率`");

    // Other weights under the same graphs.
    model(folder.path(), 2);
    assert_failed(&sts, &format!("run `simbert export {root}`"));
}

#[test]
fn onnx_runtime_reports_nothing_and_leaves_nothing_in_the_users_folder() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_simbert"));
    // Each of the first three would keep it quiet by itself.
    for variable in ["CI", "ORT_RUNNING_UNIT_TESTS", DISABLE_TELEMETRY, "XDG_CACHE_HOME"] {
        command.env_remove(variable);
    }
    let directory = model(folder.path(), 1);
    let output = command.env("HOME", &home).arg("encode").args(["怎么借款", "--model"]).arg(directory.root()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let left: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}
