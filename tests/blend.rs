//! `simbert blend`: the mean of two models' weights.

use std::path::Path;

use assert_cmd::Command;
use candle_core::Device;
use simbert::model::{Config, Precision, Weights};

fn model(folder: &Path, seed: u64, hidden: usize) {
    let config: Config = serde_json::from_value(serde_json::json!({
        "vocab_size": 11, "hidden_size": hidden, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 64,
    }))
    .unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    std::fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    let weights = Weights::random(&config, seed, &Device::Cpu).unwrap();
    weights.save(&folder.join("model.safetensors"), Precision::F32).unwrap();
}

fn word_embeddings(folder: &Path) -> Vec<f32> {
    let config = Config::from_file(folder.join("config.json")).unwrap();
    let (weights, _) = Weights::load(&folder.join("model.safetensors"), &config, &Device::Cpu).unwrap();
    weights.get("embeddings.word_embeddings.weight").unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn blend(folder: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("simbert").unwrap().current_dir(folder).arg("blend").args(args).assert()
}

#[test]
fn the_mean_is_weighted_by_the_shares() {
    let folder = tempfile::tempdir().unwrap();
    model(&folder.path().join("a"), 1, 8);
    model(&folder.path().join("b"), 2, 8);
    blend(folder.path(), &["a", "b", "--share", "3", "--share", "1", "-o", "out", "--f32"]).success();
    let [a, b, out] = ["a", "b", "out"].map(|name| word_embeddings(&folder.path().join(name)));
    for ((a, b), out) in a.iter().zip(&b).zip(&out) {
        assert!((0.75 * a + 0.25 * b - out).abs() < 1e-6);
    }
    let again = blend(folder.path(), &["a", "b", "-o", "out"]).failure().code(1);
    assert!(String::from_utf8_lossy(&again.get_output().stderr).contains("holds a model already"));
}

#[test]
fn models_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    model(&folder.path().join("a"), 1, 8);
    model(&folder.path().join("wide"), 1, 12);
    for (args, message) in [
        (&["a", "wide", "-o", "out"][..], "expected the config.json and tokenizer.json of `a`"),
        (&["a", "a", "--share", "1", "-o", "out"], "a --share for each of the 2 models"),
        (&["a", "a", "--share", "0", "--share", "0", "-o", "out"], "not all 0"),
        (&["a", "none", "-o", "out"], "model directory"),
    ] {
        let failed = blend(folder.path(), args).failure().code(1);
        let error = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        assert!(error.contains(message), "{error}");
    }
    assert!(!folder.path().join("out").exists());
}
