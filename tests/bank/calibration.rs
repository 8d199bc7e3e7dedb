//! `simbert eval calibrate` with a model of random weights, and what its file does to searches.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{failure, json, model, run, stdout};

/// Pairs of which those that share their letters mean the same, one wrong label in ten.
fn pairs(count: usize) -> String {
    let letters: Vec<char> = "怎么还款借信用卡额度提高在哪里查询".chars().collect();
    let text = |from: usize, step: usize| -> String { (0..6).map(|i| letters[(from + i * step) % 17]).collect() };
    let pair = |i: usize| {
        let same = i.is_multiple_of(2);
        let first = text(i * 5 % 17, 1 + i % 3);
        let second = if same {
            format!("{first}{}", text(i, 1 + i % 2).chars().next().unwrap())
        } else {
            text(i * 3 % 17, 4 + i % 9)
        };
        format!("{first}\t{second}\t{}\n", u8::from(same != (i % 10 == 7)))
    };
    (0..count).map(pair).collect()
}

/// A model, a bank of two questions, and 300 pairs.
fn prepared(folder: &Path) -> String {
    model(folder);
    stdout(folder, &["index", "-", "--format", "txt", "--bank", "faq"], "怎么还款\n信用卡额度在哪里查询\n");
    let path = folder.join("pairs.tsv");
    std::fs::write(&path, format!("sentence1\tsentence2\tlabel\n{}", pairs(300))).unwrap();
    path.to_str().unwrap().to_owned()
}

fn probabilities(found: &Value) -> Vec<f64> {
    found["hits"].as_array().unwrap().iter().filter_map(|hit| hit["probability"].as_f64()).collect()
}

#[test]
fn a_calibration_gives_hits_their_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pairs = prepared(folder);
    let search = ["search", "怎么还款", "--bank", "faq"];
    let expand = ["expand", "怎么还款", "--bank", "faq", "--phrases", "2", "-n", "10"];
    let file = folder.join("model/calibration.json");
    assert!(probabilities(&json(folder, &search)).is_empty());
    for command in [&search[..], &expand] {
        let refused = failure(folder, &[command, &["--min-probability", "0.5"]].concat(), "");
        assert!(refused.contains("min_probability: expected a model with a calibration"), "{refused}");
    }

    let plot = folder.join("plot.svg");
    let dry = json(folder, &["eval", "calibrate", &pairs, "--dry-run", "--plot", plot.to_str().unwrap()]);
    assert!(!file.exists(), "a dry run writes nothing");
    assert!(std::fs::read_to_string(&plot).unwrap().contains("calibrated, held out"));
    assert_eq!((&dry["pairs"], dry["compared"].as_array().unwrap().len()), (&json!(300), 2));
    assert!(dry["after"]["log_loss"].as_f64() < dry["before"]["log_loss"].as_f64(), "{dry}");
    let fingerprint = json(folder, &["bank", "list"])[0]["model_fingerprint"].clone();

    for method in ["isotonic", "platt"] {
        let text = stdout(folder, &["eval", "calibrate", &pairs, "--method", method, "--precision", "0.9,1"], "");
        assert!(text.contains(method) && text.contains("calibration error") && text.contains("wrote "), "{text}");
        let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!((&written["curve"]["method"], &written["fingerprint"]), (&json!(method), &fingerprint));
        assert_eq!(written["fitted"], json!({"pairs": 300, "base_rate": dry["base_rate"], "files": ["pairs.tsv"]}));
        for command in [&search[..], &expand] {
            let found = json(folder, command);
            let likely = probabilities(&found);
            assert!(likely.len() == 2 && likely.iter().all(|p| (0.0..=1.0).contains(p)), "{found}");
        }
    }
    let likely = probabilities(&json(folder, &search));
    assert!(likely[0] > 0.6 && likely[0] > likely[1], "{likely:?}");
    for command in [&search[..], &expand] {
        let likely = probabilities(&json(folder, command));
        let between = ((likely[0] + likely[1]) / 2.0).to_string();
        let found = json(folder, &[command, &["--min-probability", &between]].concat());
        assert_eq!(found["hits"].as_array().unwrap().len(), 1, "{found}");
    }
    let again = json(folder, &["eval", "calibrate", &pairs, "--dry-run"]);
    assert!(again["earlier"]["log_loss"].as_f64() < again["before"]["log_loss"].as_f64(), "{again}");
    assert!(stdout(folder, &search, "").lines().next().unwrap().contains(" %  怎么还款"));
    assert!(failure(folder, &[&search[..], &["--min-probability", "1.5"]].concat(), "").contains("0 to 1"));

    // An export neither needs the file nor changes with it.
    std::fs::write(&file, "{").unwrap();
    assert!(run(folder, &["export", folder.join("model").to_str().unwrap()], "").status.success());
    assert_eq!(json(folder, &["bank", "list"])[0]["model_fingerprint"], fingerprint);
}

#[test]
fn a_file_that_is_damaged_or_another_models_stops_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pairs = prepared(folder);
    let search = ["search", "怎么还款", "--bank", "faq"];
    let file = folder.join("model/calibration.json");
    let calibrate = ["eval", "calibrate", &pairs, "--method", "platt"];
    stdout(folder, &calibrate, "");
    let good = std::fs::read_to_string(&file).unwrap();
    let slope = serde_json::from_str::<Value>(&good).unwrap()["curve"]["slope"].to_string();
    for bad in ["", "{}", &good[..good.len() / 2], &good.replace(&slope, &format!("-{slope}"))] {
        std::fs::write(&file, bad).unwrap();
        let refused = failure(folder, &search, "");
        assert!(refused.contains("calibration.json is damaged") && refused.contains("eval calibrate"), "{refused}");
    }
    let fingerprint = serde_json::from_str::<Value>(&good).unwrap()["fingerprint"].as_str().unwrap().to_owned();
    std::fs::write(&file, good.replace(&fingerprint, "0123456789abcdef")).unwrap();
    let refused = failure(folder, &search, "");
    assert!(
        refused.contains(&format!("fitted to model 0123456789abcdef, and this is model {fingerprint}")),
        "{refused}"
    );
    // What is broken can be made anew.
    stdout(folder, &calibrate, "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), good, "the same pairs give the same file");
    stdout(folder, &search, "");
}

#[test]
fn hits_of_queries_can_be_fitted_to() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder);
    let letters: Vec<char> = "怎么还款借信用卡额度提高在哪里查询".chars().collect();
    let text = |i: usize| -> String { (0..4 + i % 3).map(|j| letters[(i + j * (1 + i % 5)) % 17]).collect() };
    let standard: String = (0..40).map(|i| format!("f{i}\t{}\n", text(i))).collect();
    // Every other query asks for what it says; the others ask for something else.
    let queries: String =
        (0..40).map(|i| format!("{}\tf{}\n", text(i), if i.is_multiple_of(2) { i } else { (i + 7) % 40 })).collect();
    let queries = queries + &(0..40).map(|i| format!("{}在哪\tf{i}\n", text(i))).collect::<String>();
    let path = |name: &str, content: &str| {
        std::fs::write(folder.join(name), content).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    };
    let (standard, queries) = (path("standard.tsv", &standard), path("queries.tsv", &queries));
    let calibrate = ["eval", "calibrate", "--standard", &standard, "--query", &queries];
    let found = json(folder, &[&calibrate[..], &["--hits", "3", "--method", "platt", "--prior", "0.5"]].concat());
    assert_eq!((&found["pairs"], &found["prior"]), (&json!(240), &json!(0.5)));
    let written: Value =
        serde_json::from_slice(&std::fs::read(folder.join("model/calibration.json")).unwrap()).unwrap();
    assert_eq!((&written["fitted"]["hits"], &written["fitted"]["prior"]), (&json!(3), &json!(0.5)));
    assert_eq!(written["fitted"]["files"], json!(["standard.tsv", "queries.tsv"]));
}

#[test]
fn pairs_that_cannot_be_fitted_to_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder);
    let refused = |content: &str, more: &[&str]| {
        let path = folder.join("pairs.tsv");
        std::fs::write(&path, content).unwrap();
        failure(folder, &[&["eval", "calibrate", path.to_str().unwrap()], more].concat(), "")
    };
    assert!(refused("", &[]).contains("at least 10 pairs that mean the same"));
    assert!(refused(&pairs(300).replace("\t0\n", "\t2.5\n"), &[]).contains("`--positive-from X`"));
    assert!(refused("怎么\t还款\n", &[]).contains("pairs.tsv:1: expected 3 fields"));
    assert!(refused(&pairs(300), &["--prior", "1"]).contains("prior: expected a share above 0 and below 1"));
    assert!(refused(&pairs(300), &["--precision", "1.1"]).contains("precision: expected a share"));
    assert!(
        refused(&"怎么\t还款\t1\n怎么\t还款\t0\n".repeat(20), &[]).contains("at least 5 different first sentences")
    );
    assert!(!folder.join("model/calibration.json").exists());
    let turned = pairs(300).replace("\t0\n", "\tx\n").replace("\t1\n", "\t0\n").replace("\tx\n", "\t1\n");
    assert!(refused(&turned, &[]).contains("scores that tell nothing"));
    let failed = refused(&pairs(300), &["--plot", "no/such/folder/plot.svg"]);
    assert!(failed.contains("no/such/folder/plot.svg: cannot draw"), "{failed}");
}
