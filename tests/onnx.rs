//! Export and inference as a user runs them: the graphs against the network in candle, on a small random model.
//!
//! Needs the ONNX Runtime library (`make vendor`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use assert_cmd::cargo::CommandCargoExt;
use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use simbert::Error;
use simbert::generate::{GenerateRequest, Paraphraser, Sampling};
use simbert::model::{Arithmetic, Bert, Config, ModelDirectory, Pooling, Precision, Weights};
use simbert::onnx::export;
use simbert::runtime::{
    Cache, Decoder, Encoder, Patience, Rows, RuntimeOptions, Slot, Waiter, while_waited_for, while_waiting,
};
use simbert::text::{Batch, Tokenizer};

const TOLERANCE: f32 = 1e-4;
const ALPHABET: &str = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰馀成岁律吕调阳云腾致雨露结为霜";
const TEXTS: [&str; 9] = [
    "天地玄黄",
    "宇宙",
    "",
    "日月盈昃辰宿列张寒来暑往",
    "秋收冬藏闰馀成岁律吕调阳云腾致雨露结为霜天地玄黄宇宙洪荒日月盈昃辰宿列张",
    "地",
    "天地黄玄",
    "律吕调",
    "云腾致雨露",
];

fn config(pooling: Pooling) -> Config {
    let json = serde_json::json!({
        "vocab_size": 60, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 96, "max_position_embeddings": 40, "max_tokens": 32, "pooling": pooling,
    });
    serde_json::from_value(json).unwrap()
}

/// A model directory of random weights and single-character pieces.
fn model(folder: &Path, config: &Config, precision: Precision) -> (ModelDirectory, Bert) {
    let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
    pieces.extend(ALPHABET.chars().map(String::from));
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        pieces.iter().enumerate().map(|(id, piece)| (piece.clone(), id.into())).collect();
    let special: Vec<_> = (0..5)
        .map(|id| {
            serde_json::json!({"id": id, "content": pieces[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    let directory = ModelDirectory::create(folder);
    std::fs::write(directory.tokenizer_path(), tokenizer.to_string()).unwrap();
    std::fs::write(directory.config_path(), serde_json::to_vec(config).unwrap()).unwrap();
    let weights = Weights::random(config, 1, &Device::Cpu).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (_, variable) in weights.iter() {
        // Fresh weights make near-uniform attention and zero biases, where many a fault would not show.
        let spread = if variable.dims().len() == 2 { 0.3 } else { 0.2 };
        let noise: Vec<f32> = (0..variable.elem_count()).map(|_| random.random_range(-spread..spread)).collect();
        let noise = Tensor::from_vec(noise, variable.dims(), &Device::Cpu).unwrap();
        variable.set(&(variable.as_tensor() + noise).unwrap()).unwrap();
    }
    weights.save(&directory.weights_path(), precision).unwrap();
    let (weights, _) = Weights::load(&directory.weights_path(), config, &Device::Cpu).unwrap();
    (directory, Bert::new(config.clone(), weights, Device::Cpu))
}

fn exported(pooling: Pooling) -> (tempfile::TempDir, ModelDirectory, Bert) {
    let folder = tempfile::tempdir().unwrap();
    let (directory, bert) = model(folder.path(), &config(pooling), Precision::F32);
    export(&directory).unwrap();
    (folder, directory, bert)
}

fn options() -> RuntimeOptions {
    RuntimeOptions { threads: 1, ..Default::default() }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn candle_vectors(bert: &Bert, tokenizer: &Tokenizer, texts: &[&str]) -> Vec<Vec<f32>> {
    let mut batch = Batch::new();
    for text in texts {
        let ids = tokenizer.sentence(text, bert.config().max_tokens).unwrap();
        batch.push(&ids, &vec![0; ids.len()]);
    }
    let states = bert.forward(&batch, None).unwrap();
    bert.sentence_vectors(&states, &batch).unwrap().to_vec2().unwrap()
}

#[test]
fn vectors_equal_those_of_candle() {
    for pooling in [Pooling::Pooler, Pooling::Cls, Pooling::Mean] {
        let (_folder, directory, bert) = exported(pooling);
        // One by one; with padding up to a sixteenth; two sessions, and padding up to 256 tokens.
        for (tokens_per_batch, sessions) in [(1, 1), (256, 1), (4096, 2)] {
            let options = RuntimeOptions { tokens_per_batch, sessions, ..options() };
            let encoder = Encoder::open(&directory, &options).unwrap();
            let expected = candle_vectors(&bert, encoder.tokenizer(), &TEXTS);
            let found = encoder.encode(&TEXTS).unwrap().vectors;
            for ((text, found), expected) in TEXTS.iter().zip(&found).zip(&expected) {
                let difference = largest_difference(found, expected);
                assert!(difference <= TOLERANCE, "{pooling:?}, budget {tokens_per_batch}, `{text}`: {difference}");
            }
            assert!(largest_difference(&found[0], &found[6]) > 100.0 * TOLERANCE, "the model looks at nothing");
        }
    }
}

/// On a trained model (`SIMBERT_MODEL`, or the bundled `data/model`), where there is one: depth adds up rounding that
/// a small random model does not show.
#[test]
fn a_trained_model_agrees_with_candle() {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/model");
    let trained = ModelDirectory::create(std::env::var_os("SIMBERT_MODEL").map_or(bundled, PathBuf::from));
    if !trained.weights_path().is_file() {
        eprintln!("skipped: no weights in {}", trained.root().display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let directory = ModelDirectory::create(folder.path());
    for (from, to) in [
        (trained.config_path(), directory.config_path()),
        (trained.tokenizer_path(), directory.tokenizer_path()),
        (trained.weights_path(), directory.weights_path()),
    ] {
        std::fs::copy(from, to).unwrap();
    }
    let done = export(&directory).unwrap();
    let config = directory.config().unwrap();
    let (weights, _) = Weights::load(&directory.weights_path(), &config, &Device::Cpu).unwrap();
    let bert = Bert::new(config, weights, Device::Cpu);
    let encoder = Encoder::open(&directory, &options()).unwrap();
    let texts = ["怎么开初婚未育证明", "开初婚未育证明怎么弄?", "微信和支付宝哪个好", "iPhone 15 怎么截屏", ""];
    let expected = candle_vectors(&bert, encoder.tokenizer(), &texts);
    for (found, expected) in encoder.encode(&texts).unwrap().vectors.iter().zip(&expected) {
        let difference = largest_difference(found, expected);
        assert!(difference <= TOLERANCE, "{difference}");
    }
    if done.decoder {
        let decoder = Decoder::open(&directory, &options()).unwrap();
        let pair = encoder.tokenizer().pair(texts[0], texts[1], 64).unwrap();
        let (source, target) = pair.ids.split_at(pair.segments.iter().filter(|&&segment| segment == 0).count());
        let expected = candle_logits(&bert, source, target);
        for (step, (found, expected)) in logits(&decoder, source, target).iter().zip(&expected).enumerate() {
            // Logits are sums over the width, so they are compared in proportion to their size.
            let size = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            let difference = largest_difference(found, expected) / size;
            assert!(difference <= TOLERANCE, "step {step}: {difference}");
        }
    }
}

#[test]
fn half_precision_weights_are_widened() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, bert) = model(folder.path(), &config(Pooling::Pooler), Precision::F16);
    export(&directory).unwrap();
    let encoder = Encoder::open(&directory, &options()).unwrap();
    let expected = candle_vectors(&bert, encoder.tokenizer(), &TEXTS);
    for (found, expected) in encoder.encode(&TEXTS).unwrap().vectors.iter().zip(&expected) {
        assert!(largest_difference(found, expected) <= TOLERANCE);
    }
}

/// Logits of candle's full UniLM forward for each target token, the first predicted at the source's `[SEP]`.
fn candle_logits(bert: &Bert, source: &[u32], target: &[u32]) -> Vec<Vec<f32>> {
    let mut batch = Batch::new();
    let segments = [vec![0; source.len()], vec![1; target.len()]].concat();
    batch.push(&[source, target].concat(), &segments);
    let states = bert.forward(&batch, None).unwrap();
    let rows = states.narrow(0, source.len() - 1, target.len() + 1).unwrap().contiguous().unwrap();
    bert.logits(&rows).unwrap().to_vec2().unwrap()
}

/// The logits that the decoder's graph gives for each target token, one step after the other.
fn logits(decoder: &Decoder, source: &[u32], target: &[u32]) -> Vec<Vec<f32>> {
    let mut cache = decoder.cache();
    let mut text = Text::read(&mut cache, source);
    let mut all = step(decoder, &mut cache, &[&text]);
    for &token in target {
        text.write(&mut cache, token);
        all.extend(step(decoder, &mut cache, &[&text]));
    }
    all
}

/// A source, and a target that grows.
#[derive(Clone)]
struct Text {
    source: Vec<u32>,
    target: Vec<u32>,
    slots: [Vec<Slot>; 2],
}

impl Text {
    fn read(cache: &mut Cache, source: &[u32]) -> Self {
        let slots = source.iter().map(|_| cache.take()).collect();
        Self { source: source.to_vec(), target: Vec::new(), slots: [slots, Vec::new()] }
    }

    fn write(&mut self, cache: &mut Cache, token: u32) {
        self.target.push(token);
        self.slots[1].push(cache.take());
    }
}

/// One step of all of `texts`: those without a target are read.
fn step(decoder: &Decoder, cache: &mut Cache, texts: &[&Text]) -> Vec<Vec<f32>> {
    let mut rows = Rows::default();
    for Text { source, target, slots: [source_slots, target_slots] } in texts {
        match target.last() {
            Some(&last) => rows.push_target(last, source.len() + target.len() - 1, source_slots, target_slots),
            None => rows.push_source(source, source_slots),
        }
    }
    decoder.step(cache, &rows).unwrap().rows().unwrap().map(<[f32]>::to_vec).collect()
}

#[test]
fn logits_equal_those_of_candle_step_by_step() {
    let (_folder, directory, bert) = exported(Pooling::Pooler);
    let decoder = Decoder::open(&directory, &options()).unwrap();
    let tokenizer = Tokenizer::from_file(directory.tokenizer_path()).unwrap();
    for text in ["天地玄黄宇宙洪荒", ""] {
        let source = tokenizer.sentence(text, 32).unwrap();
        for target in [[7, 9, 30, 12, 5], [6, 6, 6, 40, 41]] {
            let expected = candle_logits(&bert, &source, &target);
            for (step, (found, expected)) in logits(&decoder, &source, &target).iter().zip(&expected).enumerate() {
                let difference = largest_difference(found, expected);
                assert!(difference <= TOLERANCE, "`{text}`, step {step}: {difference}");
            }
        }
    }
}

/// Two sources, of which one is read while the other's samples go on; samples that part from each other after a common
/// beginning, which is in the cache once; slots that are given back and filled again.
#[test]
fn rows_of_many_samples_and_sources_do_not_disturb_each_other() {
    let (_folder, directory, bert) = exported(Pooling::Pooler);
    let decoder = Decoder::open(&directory, &options()).unwrap();
    let sources: [&[u32]; 2] = [&[2, 8, 9, 10, 11, 3], &[2, 30, 31, 3]];
    let targets: [&[u32]; 4] = [&[7, 9, 30, 12], &[7, 9, 31, 12], &[33, 21, 11, 10], &[5, 7]];
    let expected: Vec<_> = targets
        .iter()
        .zip([0, 0, 0, 1])
        .map(|(target, source)| candle_logits(&bert, sources[source], target))
        .collect();
    let same = |found: &[f32], expected: &[f32], what: &str| {
        let difference = largest_difference(found, expected);
        assert!(difference <= TOLERANCE, "{what}: {difference}");
    };
    let mut cache = decoder.cache();
    // Something that was there before and is gone.
    let gone = Text::read(&mut cache, &[2, 50, 51, 52, 3]);
    step(&decoder, &mut cache, &[&gone]);
    cache.release(&gone.slots[0]);
    assert_eq!(cache.held(), 0);

    let first = Text::read(&mut cache, sources[0]);
    same(&step(&decoder, &mut cache, &[&first])[0], &expected[0][0], "the first source");
    let (mut together, mut third) = (first.clone(), first.clone());
    together.write(&mut cache, 7);
    third.write(&mut cache, 33);
    let mut second = Text::read(&mut cache, sources[1]);
    let found = step(&decoder, &mut cache, &[&together, &second, &third]);
    for (found, (target, step)) in found.iter().zip([(0, 1), (3, 0), (2, 1)]) {
        same(found, &expected[target][step], "a source beside samples");
    }
    together.write(&mut cache, 9);
    second.write(&mut cache, 5);
    let found = step(&decoder, &mut cache, &[&second, &together]);
    same(&found[0], &expected[3][1], "the second source's sample");
    same(&found[1], &expected[0][2], "a common beginning");
    assert_eq!(expected[0][2], expected[1][2]);
    let mut parted = together.clone();
    cache.hold(&together.slots[1], 1);
    together.write(&mut cache, 30);
    parted.write(&mut cache, 31);
    third.write(&mut cache, 21);
    second.write(&mut cache, 7);
    let found = step(&decoder, &mut cache, &[&parted, &third, &together, &second]);
    for (found, (target, step)) in found.iter().zip([(1, 3), (2, 2), (0, 3), (3, 2)]) {
        same(found, &expected[target][step], "parted samples");
    }
    // The sample that is left sees what both had written.
    cache.release(&parted.slots[1]);
    together.write(&mut cache, 12);
    same(&step(&decoder, &mut cache, &[&together])[0], &expected[0][4], "the last one");
    for slots in [&together.slots[1], &third.slots[1], &second.slots[0], &second.slots[1], &first.slots[0]] {
        cache.release(slots);
    }
    assert_eq!(cache.held(), 0);
}

#[test]
fn a_cache_grows_without_losing_anything() {
    let (_folder, directory, bert) = exported(Pooling::Pooler);
    let decoder = Decoder::open(&directory, &options()).unwrap();
    let mut cache = decoder.cache();
    let mut text = Text::read(&mut cache, &[2, 8, 9, 3]);
    step(&decoder, &mut cache, &[&text]);
    let slots = cache.slots();
    let others: Vec<Slot> = (0..slots * 3).map(|_| cache.take()).collect();
    assert!(cache.slots() > slots * 3 && cache.held() == slots * 3 + 4, "{} {}", cache.slots(), cache.held());
    cache.release(&others);
    text.write(&mut cache, 7);
    let found = step(&decoder, &mut cache, &[&text]);
    assert!(largest_difference(&found[0], &candle_logits(&bert, &text.source, &text.target)[1]) <= TOLERANCE);
}

/// Bit for bit: a seed must give the same sentences whatever else the machine does.
#[test]
fn logits_do_not_depend_on_what_else_is_in_the_step() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
        let directory = directory.clone().with_arithmetic(arithmetic);
        export(&directory).unwrap();
        let decoder = Decoder::open(&directory, &options()).unwrap();
        let mut cache = decoder.cache();
        let mut text = Text::read(&mut cache, &[2, 8, 9, 10, 11, 3]);
        let others: Vec<Text> = (0..20).map(|i| Text::read(&mut cache, &[2, 12 + i, 13, 3])).collect();
        for token in [None, Some(7), Some(30)] {
            token.iter().for_each(|&token| text.write(&mut cache, token));
            let alone = step(&decoder, &mut cache, &[&text]).remove(0);
            for count in [1, 2, 7, 20] {
                let texts: Vec<&Text> = others[..count].iter().chain([&text]).collect();
                let found = step(&decoder, &mut cache, &texts).pop().unwrap();
                assert!(found == alone, "{arithmetic:?}, {count}: {}", largest_difference(&found, &alone));
            }
        }
    }
}

#[test]
fn the_decoder_refuses_what_does_not_fit() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let decoder = Decoder::open(&directory, &options()).unwrap();
    let mut cache = decoder.cache();
    let mut refused = |ids: &[u32], target: Option<u32>| {
        let mut text = Text::read(&mut cache, ids);
        let mut rows = Rows::default();
        match target {
            Some(id) => {
                text.write(&mut cache, id);
                rows.push_target(id, text.source.len(), &text.slots[0], &text.slots[1]);
            }
            None => rows.push_source(ids, &text.slots[0]),
        }
        decoder.step(&mut cache, &rows).unwrap_err().to_string()
    };
    assert!(refused(&[60], None).contains("token id: expected below 60"));
    assert!(refused(&[5; 41], None).contains("at most 40, received 41"));
    assert!(refused(&[5; 40], Some(5)).contains("at most 40, received 41"));
    assert!(decoder.step(&mut cache, &Rows::default()).unwrap_err().to_string().contains("at least 1"));
}

fn request(text: &str, seed: u64) -> GenerateRequest {
    let sampling = Sampling { samples: 40, max_tokens: 12, temperature: 0.8, seed, ..Sampling::default() };
    GenerateRequest { text: text.to_owned(), k: 1000, sampling, min_score: None }
}

#[test]
fn the_same_seed_writes_the_same() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let encoder = Arc::new(Encoder::open(&directory, &options()).unwrap());
    let decoder = Arc::new(Decoder::open(&directory, &options()).unwrap());
    let paraphraser = Paraphraser::new(encoder, decoder).unwrap();
    let found = paraphraser.generate(&request("天地玄黄", 3)).unwrap();
    assert!(found.len() > 10, "{found:?}");
    assert_eq!(found, paraphraser.generate(&request("天地玄黄", 3)).unwrap());
    assert_ne!(found, paraphraser.generate(&request("天地玄黄", 4)).unwrap());
    assert!(found.is_sorted_by(|a, b| a.score >= b.score));
    assert!(found.iter().all(|p| (-1.0..=1.0).contains(&p.score) && !p.text.trim().is_empty() && p.text != "天地玄黄"));
    assert!(found.iter().all(|p| p.text.chars().all(|c| ALPHABET.contains(c))), "a special piece came out: {found:?}");
    let texts: std::collections::HashSet<_> = found.iter().map(|p| &p.text).collect();
    assert_eq!(texts.len(), found.len(), "a text came twice");

    // Fewer are a choice of these, still best first; which, the unit tests of the ranking say.
    let few = paraphraser.generate(&GenerateRequest { k: 3, ..request("天地玄黄", 3) }).unwrap();
    assert!(few.len() == 3 && few.is_sorted_by(|a, b| a.score >= b.score), "{few:?}");
    assert!(few.iter().all(|p| found.contains(p)), "{few:?}");
    let least = found[4].score;
    let all = GenerateRequest { min_score: Some(least), ..request("天地玄黄", 3) };
    assert!(paraphraser.generate(&all).unwrap().iter().all(|p| p.score >= least));
}

/// The same requests one after the other, from many threads at once, and as one list: bit for bit the same.
#[test]
fn requests_that_are_written_together_get_what_they_get_alone() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    for arithmetic in [Arithmetic::F32, Arithmetic::Int8] {
        let directory = directory.clone().with_arithmetic(arithmetic);
        export(&directory).unwrap();
        let paraphraser = Paraphraser::open(&directory, &options()).unwrap();
        let mut requests: Vec<GenerateRequest> =
            TEXTS.iter().filter(|text| !text.is_empty()).map(|text| request(text, 5)).collect();
        requests[1].sampling.samples = 300; // more branches than a step has rows
        requests[2].sampling.mask_source = 0.4;
        requests[3].sampling.samples = 1;
        requests[4].sampling.top_k = 0;
        let samples = |request: &GenerateRequest| paraphraser.samples(request).unwrap();
        let alone: Vec<Vec<String>> = requests.iter().map(samples).collect();
        assert!(alone[1].len() > 150, "{}", alone[1].len());
        let samples = &samples;
        let together: Vec<Vec<String>> = std::thread::scope(|scope| {
            let threads: Vec<_> = requests.iter().map(|request| scope.spawn(move || samples(request))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(together == alone, "{arithmetic:?}");

        requests.push(request(" ", 1));
        let mut listed = Vec::new();
        paraphraser
            .generate_many(&requests, |place, result| {
                listed.push((place, result.map(|found| found.len()).map_err(|e| e.to_string())));
                Ok(())
            })
            .unwrap();
        let places: Vec<usize> = listed.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, (0..requests.len()).collect::<Vec<_>>());
        assert!(listed.pop().unwrap().1.unwrap_err().contains("blank"));
        assert!(listed.iter().zip(&alone).all(|((_, found), alone)| *found == Ok(alone.len())), "{listed:?}");
    }
}

/// A single branch for each sample is what the tree of common beginnings stands for.
#[test]
fn a_sample_is_the_same_whatever_samples_are_drawn_beside_it() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let paraphraser = Paraphraser::open(&directory, &options()).unwrap();
    let drawn = |samples: usize| {
        let mut wish = request("天地玄黄宇宙", 9);
        wish.sampling.samples = samples;
        paraphraser.samples(&wish).unwrap()
    };
    // Texts come in the order of the samples, each once, so fewer samples give a beginning of more.
    let all = drawn(60);
    for samples in [1, 2, 9, 33] {
        let few = drawn(samples);
        assert!(!few.is_empty() && all.starts_with(&few), "{samples}: {few:?} {all:?}");
    }
}

#[test]
fn work_stops_when_nobody_waits_any_more() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let paraphraser = Paraphraser::open(&directory, &options()).unwrap();
    let mut endless = request("天地玄黄", 1);
    endless.sampling =
        Sampling { samples: 1000, max_tokens: 36, top_k: 0, top_p: 1.0, temperature: 9.0, ..endless.sampling };
    let refused = while_waited_for(Arc::new(|| false), || paraphraser.generate(&endless));
    assert!(refused.unwrap_err().to_string().contains("cancelled"));
    let whole = {
        let started = std::time::Instant::now();
        paraphraser.samples(&endless).unwrap();
        started.elapsed()
    };
    let gone = Arc::new(AtomicBool::new(false));
    let waits = || -> Patience {
        let gone = gone.clone();
        Arc::new(move || !gone.load(Ordering::SeqCst))
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let started = std::time::Instant::now();
            let stopped = while_waited_for(waits(), || paraphraser.samples(&endless));
            (stopped.unwrap_err().to_string(), started.elapsed())
        });
        std::thread::sleep(whole / 10);
        gone.store(true, Ordering::SeqCst);
        let (error, took) = waiting.join().unwrap();
        assert!(error.contains("cancelled") && took < whole / 2, "{took:?} of {whole:?}: {error}");
    });
    // And the writer goes on with what comes next.
    assert!(!paraphraser.generate(&request("宇宙", 1)).unwrap().is_empty());
}

#[test]
fn a_list_ends_early_when_its_sink_fails_or_nobody_waits() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let paraphraser = Paraphraser::open(&directory, &options()).unwrap();
    let requests = vec![request("天地玄黄", 1); 30];
    let mut seen = 0;
    let full = paraphraser.generate_many(&requests, |place, result| {
        result?;
        seen = place + 1;
        if place == 2 { Err(simbert::Error::Internal("the disk is full".to_owned())) } else { Ok(()) }
    });
    assert!(seen == 3 && full.unwrap_err().to_string().contains("the disk is full"));
    let gone = Arc::new(AtomicBool::new(false));
    let (patience, mut seen) = (gone.clone(), 0);
    let stopped = while_waited_for(Arc::new(move || !patience.load(Ordering::SeqCst)), || {
        paraphraser.generate_many(&requests, |place, result| {
            result?;
            seen = place + 1;
            gone.store(true, Ordering::SeqCst);
            Ok(())
        })
    });
    assert!(seen < 30 && stopped.unwrap_err().to_string().contains("cancelled"), "{seen}");
}

#[test]
fn penalties_and_masks_make_other_samples() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let paraphraser = Paraphraser::open(&directory, &options()).unwrap();
    let text = "天地玄黄宇宙洪荒";
    let drawn = |change: &dyn Fn(&mut Sampling)| {
        let mut wish = request(text, 2);
        wish.sampling.top_k = 0;
        change(&mut wish.sampling);
        paraphraser.samples(&wish).unwrap()
    };
    let copied = |samples: &[String]| {
        let characters = || samples.iter().flat_map(|sample| sample.chars());
        characters().filter(|&c| text.contains(c)).count() as f64 / characters().count() as f64
    };
    let plain = drawn(&|_| {});
    assert!(copied(&plain) > 0.02, "{plain:?}");
    let mild = drawn(&|sampling| sampling.copy_penalty = 1.0);
    assert!(copied(&mild) < copied(&plain), "{} {}", copied(&mild), copied(&plain));
    assert_eq!(copied(&drawn(&|sampling| sampling.copy_penalty = 100.0)), 0.0);
    let masked = drawn(&|sampling| sampling.mask_source = 0.5);
    assert!(masked != plain && masked == drawn(&|sampling| sampling.mask_source = 0.5));
}

#[test]
fn a_long_text_leaves_room_for_the_target() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let paraphraser = Paraphraser::open(&directory, &options()).unwrap();
    let mut long = request(&"天".repeat(500), 1);
    long.sampling.max_tokens = 37;
    paraphraser.generate(&long).unwrap();
    long.sampling.max_tokens = 38;
    assert!(paraphraser.generate(&long).unwrap_err().to_string().contains("max_tokens"));
}

#[test]
fn a_request_out_of_range_is_refused() {
    let fine = request("天地", 1);
    fine.validate().unwrap();
    type Change = fn(&mut GenerateRequest);
    let changes: [(&str, Change); 14] = [
        ("text", |r| r.text = " \n".to_owned()),
        ("k", |r| r.k = 0),
        ("min_score", |r| r.min_score = Some(f32::NAN)),
        ("samples", |r| r.sampling.samples = 0),
        ("samples", |r| r.sampling.samples = 1001),
        ("max_tokens", |r| r.sampling.max_tokens = 0),
        ("temperature", |r| r.sampling.temperature = 0.0),
        ("temperature", |r| r.sampling.temperature = f32::INFINITY),
        ("top_p", |r| r.sampling.top_p = 0.0),
        ("top_p", |r| r.sampling.top_p = f32::NAN),
        ("copy_penalty", |r| r.sampling.copy_penalty = -0.1),
        ("copy_penalty", |r| r.sampling.copy_penalty = f32::NAN),
        ("mask_source", |r| r.sampling.mask_source = 0.91),
        ("mask_source", |r| r.sampling.mask_source = f32::NAN),
    ];
    for (what, change) in changes {
        let mut bad = fine.clone();
        change(&mut bad);
        assert!(bad.validate().unwrap_err().to_string().starts_with(what), "{bad:?}");
    }
}

#[test]
fn a_stale_export_is_noticed() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    Encoder::open(&directory, &options()).unwrap();
    let other = Weights::random(&config(Pooling::Pooler), 2, &Device::Cpu).unwrap();
    other.save(&directory.weights_path(), Precision::F32).unwrap();
    for error in [
        Encoder::open(&directory, &options()).unwrap_err().to_string(),
        Decoder::open(&directory, &options()).unwrap_err().to_string(),
    ] {
        assert!(error.contains("run `simbert export"), "{error}");
    }
    export(&directory).unwrap();
    Encoder::open(&directory, &options()).unwrap();
}

#[test]
fn weights_of_another_export_are_noticed() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let path = directory.onnx_weights_path();
    let bytes = std::fs::read(&path).unwrap();
    for damaged in [bytes[..bytes.len() - 4].to_vec(), [&b"x"[..], &bytes[1..]].concat(), Vec::new()] {
        std::fs::write(&path, damaged).unwrap();
        let error = Encoder::open(&directory, &options()).unwrap_err().to_string();
        assert!(error.contains("weights.bin is damaged") && error.contains("run `simbert export"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = Encoder::open(&directory, &options()).unwrap_err().to_string();
    assert!(error.contains("weights.bin") && error.contains("run `simbert export"), "{error}");
}

#[test]
fn a_model_that_was_not_exported_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, _) = model(folder.path(), &config(Pooling::Pooler), Precision::F32);
    for error in [
        Encoder::open(&directory, &options()).unwrap_err().to_string(),
        Decoder::open(&directory, &options()).unwrap_err().to_string(),
    ] {
        assert!(error.contains("run `simbert export"), "{error}");
    }
}

/// Rewrites `model.safetensors` without the tensors that `drop` names.
fn without(directory: &ModelDirectory, drop: &str) {
    let mut tensors = candle_core::safetensors::load(directory.weights_path(), &Device::Cpu).unwrap();
    tensors.retain(|name, _| !name.starts_with(drop));
    candle_core::safetensors::save(&tensors, directory.weights_path()).unwrap();
}

#[test]
fn a_model_without_a_head_encodes_but_does_not_generate() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    without(&directory, "cls.");
    let done = export(&directory).unwrap();
    assert!(!done.decoder && !directory.decoder_path().exists());
    Encoder::open(&directory, &options()).unwrap().encode(&TEXTS).unwrap();
    let error = Paraphraser::open(&directory, &options()).unwrap_err().to_string();
    assert!(error.contains("no language-model head"), "{error}");
}

#[test]
fn a_missing_pooler_says_which_poolings_need_none() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    without(&directory, "pooler.");
    let before = names(directory.root());
    let error = export(&directory).unwrap_err().to_string();
    assert!(error.contains("pooler.dense.weight") && error.contains("\"mean\""), "{error}");
    assert_eq!(names(directory.root()), before, "a failed export left something behind");
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn weights_of_another_shape_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, _) = model(folder.path(), &config(Pooling::Pooler), Precision::F32);
    let wide = Config { intermediate_size: 100, ..config(Pooling::Pooler) };
    std::fs::write(directory.config_path(), serde_json::to_vec(&wide).unwrap()).unwrap();
    let error = export(&directory).unwrap_err().to_string();
    assert!(error.contains("intermediate.dense.weight") && error.contains("[100, 48]"), "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, bert) = model(folder.path(), &config(Pooling::Pooler), Precision::F32);
    let (_, variable) = bert.weights().iter().next().unwrap();
    variable.set(&(variable.as_tensor() * f64::NAN).unwrap()).unwrap();
    bert.weights().save(&directory.weights_path(), Precision::F32).unwrap();
    let error = export(&directory).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");
}

#[test]
fn a_vector_without_length_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, bert) = model(folder.path(), &config(Pooling::Pooler), Precision::F32);
    for (_, variable) in bert.weights().iter().filter(|(name, _)| name.starts_with("pooler.")) {
        variable.set(&variable.as_tensor().zeros_like().unwrap()).unwrap();
    }
    bert.weights().save(&directory.weights_path(), Precision::F32).unwrap();
    export(&directory).unwrap();
    let error = Encoder::open(&directory, &options()).unwrap().encode(&["天"]).unwrap_err().to_string();
    assert!(error.contains("length 0"), "{error}");
}

#[test]
fn a_missing_library_is_an_error_and_no_panic() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    // In a process of its own: this one may have loaded a library already.
    let output = Command::cargo_bin("simbert")
        .unwrap()
        .args(["encode", "天", "--onnxruntime", "/nowhere/libonnxruntime.so", "--model"])
        .arg(directory.root())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("/nowhere/libonnxruntime.so") && error.contains("make vendor"), "{error}");
}

#[test]
fn the_command_line_writes_the_same_vectors_in_each_form() {
    let (folder, directory, _) = exported(Pooling::Pooler);
    let expected = Encoder::open(&directory, &options()).unwrap().encode(&TEXTS).unwrap().vectors;
    let (texts, npy) = (folder.path().join("texts.txt"), folder.path().join("vectors.npy"));
    std::fs::write(&texts, TEXTS.join("\n") + "\n").unwrap();
    let encode = |more: &[&std::ffi::OsStr]| {
        let mut command = Command::cargo_bin("simbert").unwrap();
        // A relative path to the model, because ONNX Runtime has to find the weights beside the graph.
        command.current_dir(folder.path()).args(["encode", "--model", ".", "--threads", "1"]);
        if let Some(library) = library() {
            command.arg("--onnxruntime").arg(library);
        }
        let output = command.arg("--file").arg(&texts).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let lines = encode(&["--json".as_ref()]);
    assert_eq!(lines.lines().count(), TEXTS.len());
    for ((line, text), expected) in lines.lines().zip(TEXTS).zip(&expected) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["text"], text);
        assert_eq!(serde_json::from_value::<Vec<f32>>(line["vector"].clone()).unwrap(), *expected);
    }
    encode(&["--output".as_ref(), npy.as_os_str()]);
    let bytes = std::fs::read(npy).unwrap();
    assert!(String::from_utf8_lossy(&bytes[10..128]).contains(&format!("'shape': ({}, 48)", TEXTS.len())));
    let numbers: Vec<f32> = bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(numbers, expected.concat());
    assert_eq!(encode(&[]).lines().count(), TEXTS.len());
}

/// The library of this checkout; none where another was named or lies beside the binary.
fn library() -> Option<PathBuf> {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/onnxruntime")).ok()?;
    folder.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.to_string_lossy().contains("onnxruntime.so"))
}

#[test]
fn nothing_to_encode_gives_nothing() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let none: [&str; 0] = [];
    assert!(Encoder::open(&directory, &options()).unwrap().encode(&none).unwrap().vectors.is_empty());
}

/// Short texts, which are cut at once, and long ones, which are not; known to the cache, and not; more than it is for.
#[test]
fn vectors_that_come_later_are_those_that_are_waited_for() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let encoder = Arc::new(Encoder::open(&directory, &RuntimeOptions { cache_bytes: 1 << 20, ..options() }).unwrap());
    let long = "天地玄黄".repeat(100);
    let lists: [Vec<&str>; 5] = [TEXTS.to_vec(), vec![], vec!["宇宙", &long], vec!["地"; 40], TEXTS.to_vec()];
    let (reply, answers) = std::sync::mpsc::channel();
    for (place, list) in lists.iter().enumerate() {
        let (reply, texts) = (reply.clone(), list.iter().map(|&text| text.to_owned()).collect());
        encoder.encode_later(texts, Waiter::default(), move |encoded| reply.send((place, encoded.unwrap())).unwrap());
    }
    for (place, encoded) in answers.iter().take(lists.len()) {
        assert_eq!(encoded.vectors, encoder.encode(&lists[place]).unwrap().vectors, "list {place}");
    }
    let late = Waiter { begin_by: Some(std::time::Instant::now()), ..Waiter::default() };
    let (refuse, refusals) = std::sync::mpsc::channel();
    let refused = move |encoded: simbert::Result<_>| refuse.send(encoded.unwrap_err()).unwrap();
    encoder.encode_later(vec!["律吕调".to_owned(); 40], late.clone(), refused);
    let refused = refusals.recv().unwrap();
    assert!(matches!(refused, Error::Exhausted { .. }), "{refused}");
    let paraphraser = Paraphraser::new(encoder, Arc::new(Decoder::open(&directory, &options()).unwrap())).unwrap();
    let refused = while_waiting(late, || paraphraser.generate(&request("宇宙", 1))).unwrap_err();
    assert!(matches!(refused, Error::Exhausted { .. }), "{refused}");
}

#[test]
fn many_threads_may_share_a_model() {
    let (_folder, directory, _) = exported(Pooling::Pooler);
    let paraphraser = Paraphraser::open(&directory, &options()).unwrap();
    let expected = paraphraser.generate(&request("宇宙", 1)).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| paraphraser.generate(&request("宇宙", 1)))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap(), expected);
        }
    });
}

/// The reference checker of the ONNX project, where Python and its `onnx` package are at hand.
#[test]
fn the_onnx_checker_accepts_the_graphs() {
    let python = std::env::var("SIMBERT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import onnx"]).output().is_ok_and(|o| o.status.success());
    if !there {
        eprintln!("skipped: `{python} -c 'import onnx'` fails");
        return;
    }
    let (_folder, directory, _) = exported(Pooling::Mean);
    for graph in [directory.encoder_path(), directory.decoder_path()] {
        // By path, so that the external data is looked at as well.
        let script = "import onnx, sys; onnx.checker.check_model(sys.argv[1], full_check=True)";
        let output = Command::new(&python).args(["-c", script]).arg(&graph).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
