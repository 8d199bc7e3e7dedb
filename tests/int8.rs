//! Int8 graphs as a user runs them, beside the f32 graphs of the same model.
//!
//! Needs the ONNX Runtime library (`make vendor`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use assert_cmd::cargo::CommandCargoExt;
use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use simbert::model::{Arithmetic, Config, ModelDirectory, Pooling, Precision, Weights};
use simbert::onnx::export;
use simbert::runtime::{Decoder, Encoder, Rows, RuntimeOptions};

/// Least cosine of an int8 vector with its f32 vector, on a trained model.
const LEAST: f32 = 0.99;
/// The same on random weights. There every layer passes on what it gets and nothing is redundant, so that rounding of
/// half a percent in each of 18 products shows in full; a wrong scale or zero point gives cosines below a half.
const LEAST_RANDOM: f32 = 0.98;

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/model")
}

fn options() -> RuntimeOptions {
    RuntimeOptions { threads: 1, ..Default::default() }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A row less its mean.
fn centred(row: &[f32]) -> Vec<f32> {
    let mean = row.iter().sum::<f32>() / row.len() as f32;
    row.iter().map(|x| x - mean).collect()
}

fn standard_questions(count: usize) -> Vec<String> {
    let table = std::fs::read_to_string(bundled().join("../faq/standard.tsv")).unwrap();
    table.lines().skip(1).take(count).map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect()
}

/// The bundled model in a folder of its own, exported in f32 and in int8.
fn exported() -> &'static [ModelDirectory; 2] {
    static DIRECTORIES: OnceLock<(tempfile::TempDir, [ModelDirectory; 2])> = OnceLock::new();
    let (_, directories) = DIRECTORIES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::fs::copy(bundled().join(name), folder.path().join(name)).unwrap();
        }
        let plain = ModelDirectory::open(folder.path()).unwrap();
        let int8 = plain.clone().with_arithmetic(Arithmetic::Int8);
        export(&plain).unwrap();
        export(&int8).unwrap();
        (folder, [plain, int8])
    });
    directories
}

/// A small model of random weights, which cuts text as the bundled one does; not exported.
fn small(pooling: Pooling) -> (tempfile::TempDir, ModelDirectory) {
    let folder = tempfile::tempdir().unwrap();
    let vocabulary = Config::from_file(bundled().join("config.json")).unwrap().vocab_size;
    let json = serde_json::json!({
        "vocab_size": vocabulary, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 96, "max_position_embeddings": 40, "max_tokens": 32, "pooling": pooling,
    });
    std::fs::write(folder.path().join("config.json"), json.to_string()).unwrap();
    std::fs::copy(bundled().join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let directory = ModelDirectory::open(folder.path()).unwrap();
    save_random(&directory, 1);
    (folder, directory)
}

fn save_random(directory: &ModelDirectory, seed: u64) {
    let weights = Weights::random(&directory.config().unwrap(), seed, &Device::Cpu).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for (_, variable) in weights.iter() {
        // Fresh weights make near-uniform attention and zero biases, where many a fault would not show.
        let noise: Vec<f32> = (0..variable.elem_count()).map(|_| random.random_range(-0.2..0.2)).collect();
        let noise = Tensor::from_vec(noise, variable.dims(), &Device::Cpu).unwrap();
        variable.set(&(variable.as_tensor() + noise).unwrap()).unwrap();
    }
    weights.save(&directory.weights_path(), Precision::F32).unwrap();
}

fn simbert(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::cargo_bin("simbert").unwrap();
    command.current_dir(folder).args(arguments);
    let vendor = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/onnxruntime");
    let library = std::fs::read_dir(vendor).ok().and_then(|folder| {
        let mut files = folder.filter_map(|entry| Some(entry.ok()?.path()));
        files.find(|path| path.to_string_lossy().contains("onnxruntime.so"))
    });
    if let (Some(library), None) = (library, std::env::var_os("ORT_DYLIB_PATH")) {
        command.env("ORT_DYLIB_PATH", library);
    }
    command.output().unwrap()
}

#[test]
fn the_bundled_model_keeps_its_vectors() {
    let [plain, int8] = exported();
    let mut texts = standard_questions(60);
    texts.extend(["", "iPhone 15 怎么截屏", "？", "a"].map(String::from));
    texts.push("很长".repeat(100));
    let expected = Encoder::open(plain, &options()).unwrap().encode(&texts).unwrap().vectors;
    let found = Encoder::open(int8, &options()).unwrap().encode(&texts).unwrap().vectors;
    assert_ne!(found, expected);
    for ((text, found), expected) in texts.iter().zip(&found).zip(&expected) {
        let cosine = cosine(found, expected);
        assert!(cosine >= LEAST, "`{text}`: {cosine}");
    }
}

#[test]
fn a_vector_does_not_depend_on_its_batch() {
    let [_, int8] = exported();
    let texts = standard_questions(30);
    let encoder = Encoder::open(int8, &options()).unwrap();
    let together = encoder.encode(&texts).unwrap().vectors;
    for (text, together) in texts.iter().zip(&together).step_by(7) {
        let alone = &encoder.encode(&[text]).unwrap().vectors[0];
        assert!(cosine(alone, together) >= 0.999_99, "`{text}`");
    }
}

#[test]
fn the_bundled_decoder_keeps_its_logits() {
    let [plain, int8] = exported();
    let encoder = Encoder::open(plain, &options()).unwrap();
    let source = encoder.tokenizer().sentence("银行卡丢了怎么办", 32).unwrap();
    let target = encoder.tokenizer().sentence("卡不见了怎么挂失", 32).unwrap();
    let logits = |directory: &ModelDirectory| {
        let decoder = Decoder::open(directory, &options()).unwrap();
        let mut cache = decoder.cache();
        let (source_slots, mut target_slots) = (source.iter().map(|_| cache.take()).collect::<Vec<_>>(), Vec::new());
        let mut rows = Rows::default();
        rows.push_source(&source, &source_slots);
        let mut all = Vec::new();
        for (place, &token) in target[1..].iter().enumerate() {
            let logits = decoder.step(&mut cache, &std::mem::take(&mut rows)).unwrap();
            all.extend(logits.rows().unwrap().map(<[f32]>::to_vec));
            target_slots.push(cache.take());
            rows.push_target(token, source.len() + place, &source_slots, &target_slots);
        }
        all
    };
    for (step, (found, expected)) in logits(int8).iter().zip(&logits(plain)).enumerate() {
        // Only differences of logits count.
        let cosine = cosine(&centred(found), &centred(expected));
        assert!(cosine >= LEAST, "step {step}: {cosine}");
    }
}

#[test]
fn random_models_of_each_pooling_agree_with_f32() {
    for pooling in [Pooling::Pooler, Pooling::Cls, Pooling::Mean] {
        let (_folder, plain) = small(pooling);
        let int8 = plain.clone().with_arithmetic(Arithmetic::Int8);
        export(&plain).unwrap();
        export(&int8).unwrap();
        let texts = standard_questions(12);
        let expected = Encoder::open(&plain, &options()).unwrap().encode(&texts).unwrap().vectors;
        let found = Encoder::open(&int8, &options()).unwrap().encode(&texts).unwrap().vectors;
        for (found, expected) in found.iter().zip(&expected) {
            let cosine = cosine(found, expected);
            assert!(cosine >= LEAST_RANDOM, "{pooling:?}: {cosine}");
        }
    }
}

#[test]
fn both_kinds_lie_side_by_side_and_int8_is_smaller() {
    let [plain, int8] = exported();
    assert_ne!(plain.fingerprint().unwrap(), int8.fingerprint().unwrap());
    assert!(plain.encoder_path().is_file() && int8.encoder_path().is_file());
    let bytes = |directory: &ModelDirectory| std::fs::metadata(directory.onnx_weights_path()).unwrap().len();
    assert!(bytes(int8) * 7 < bytes(plain) * 2, "{} {}", bytes(int8), bytes(plain));
}

#[test]
fn the_same_weights_give_the_same_file() {
    let (_folder, directory) = small(Pooling::Mean);
    let int8 = directory.with_arithmetic(Arithmetic::Int8);
    export(&int8).unwrap();
    let first = std::fs::read(int8.onnx_weights_path()).unwrap();
    export(&int8).unwrap();
    assert!(first == std::fs::read(int8.onnx_weights_path()).unwrap());
}

#[test]
fn a_stale_export_is_noticed() {
    let (_folder, directory) = small(Pooling::Mean);
    let int8 = directory.with_arithmetic(Arithmetic::Int8);
    export(&int8).unwrap();
    Encoder::open(&int8, &options()).unwrap();
    save_random(&int8, 2);
    for error in [
        Encoder::open(&int8, &options()).unwrap_err().to_string(),
        Decoder::open(&int8, &options()).unwrap_err().to_string(),
    ] {
        assert!(error.contains("run `simbert export --int8 "), "{error}");
    }
}

#[test]
fn weights_of_the_other_kind_are_noticed() {
    let (_folder, plain) = small(Pooling::Mean);
    let int8 = plain.clone().with_arithmetic(Arithmetic::Int8);
    export(&plain).unwrap();
    export(&int8).unwrap();
    std::fs::copy(plain.onnx_weights_path(), int8.onnx_weights_path()).unwrap();
    let error = Encoder::open(&int8, &options()).unwrap_err().to_string();
    assert!(error.contains("weights.int8.bin is damaged") && error.contains("--int8"), "{error}");
    std::fs::copy(plain.encoder_path(), int8.encoder_path()).unwrap();
    let error = Encoder::open(&int8, &options()).unwrap_err().to_string();
    assert!(error.contains("it was exported from") && error.contains("--int8"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let (_folder, directory) = small(Pooling::Mean);
    let mut tensors = candle_core::safetensors::load(directory.weights_path(), &Device::Cpu).unwrap();
    let name = "encoder.layer.1.output.dense.weight";
    let bad = (&tensors[name] * f64::NAN).unwrap();
    tensors.insert(name.to_owned(), bad);
    candle_core::safetensors::save(&tensors, directory.weights_path()).unwrap();
    let int8 = directory.with_arithmetic(Arithmetic::Int8);
    let error = export(&int8).unwrap_err().to_string();
    assert!(error.contains("finite") && error.contains(name), "{error}");
    assert!(!int8.encoder_path().exists() && !int8.onnx_weights_path().exists());
}

#[test]
fn the_command_line_says_what_to_run_where_there_are_no_int8_graphs() {
    let (folder, plain) = small(Pooling::Mean);
    export(&plain).unwrap();
    let output = simbert(&["encode", "天", "--model", ".", "--int8"], folder.path());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("encoder.int8.onnx") && error.contains("run `simbert export --int8 .`"), "{error}");
}

#[test]
fn a_bank_holds_vectors_of_one_kind() {
    let (folder, _) = small(Pooling::Mean);
    std::fs::write(folder.path().join("questions.txt"), "银行卡丢了\n怎么改密码\n").unwrap();
    let run = |arguments: &[&str]| {
        let output = simbert(arguments, folder.path());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for export in [&["export", "."][..], &["export", "--int8", "."]] {
        let (done, error) = run(export);
        assert!(done, "{error}");
    }
    let bank = ["--bank", "faq", "--data", "banks", "--model", "."];
    let (done, error) = run(&[&["index", "questions.txt", "--int8"], &bank[..]].concat());
    assert!(done, "{error}");
    let (done, error) = run(&[&["search", "卡丢了", "--int8"], &bank[..]].concat());
    assert!(done, "{error}");
    let (done, error) = run(&[&["search", "卡丢了"], &bank[..]].concat());
    assert!(!done && error.contains("was encoded by model"), "{error}");
}
