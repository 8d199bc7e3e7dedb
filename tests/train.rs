//! The trainer as a user runs it, on a network small enough to over-fit in seconds.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use simbert::model::{Bert, Compute, Config, Weights};
use simbert::text::{Batch, Tokenizer};
use simbert::train::losses::Alike;
use simbert::train::{Event, Settings, Start, StepReport, Trainer, losses};

const PAIRS: [(&str, &str); 8] = [
    ("怎么修改密码", "如何更换口令"),
    ("今天天气如何", "外面下雨了吗"),
    ("订单什么时候发货", "我的包裹寄出没有"),
    ("怎样申请退款", "想把钱要回来"),
    ("手机没有信号", "打不通电话"),
    ("身份证丢了", "补办证件去哪"),
    ("火车票改签", "想换一趟车"),
    ("开发票流程", "报销单据怎样拿"),
];

/// A base model directory with a tokenizer of single characters and no weights.
fn base(folder: &Path) -> PathBuf {
    let base = folder.join("base");
    std::fs::create_dir_all(&base).unwrap();
    let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
    for character in PAIRS.iter().flat_map(|(a, b)| a.chars().chain(b.chars())) {
        if !pieces.contains(&character.to_string()) {
            pieces.push(character.to_string());
        }
    }
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
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    let config = serde_json::json!({
        "vocab_size": pieces.len(), "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 128, "max_position_embeddings": 64, "hidden_dropout_prob": 0.1,
    });
    std::fs::write(base.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(base.join("config.json"), config.to_string()).unwrap();
    base
}

fn settings(folder: &Path, extra: &str) -> Settings {
    base(folder);
    let lines: Vec<String> = PAIRS.iter().map(|(a, b)| format!("{a}\t{b}\n")).collect();
    std::fs::write(folder.join("pairs.tsv"), lines.concat()).unwrap();
    let toml = format!(
        "output = \"run\"\n[model]\nbase = \"base\"\nfrom_scratch = true\n[data]\npairs = [\"pairs.tsv\"]\n{extra}"
    );
    std::fs::write(folder.join("train.toml"), toml).unwrap();
    Settings::from_file(folder.join("train.toml")).unwrap()
}

fn network(folder: &Path) -> (Bert, Tokenizer) {
    let base = base(folder);
    let config = Config::from_file(base.join("config.json")).unwrap();
    let weights = Weights::random(&config, 3, &Device::Cpu).unwrap();
    let tokenizer = Tokenizer::from_file(base.join("tokenizer.json")).unwrap();
    (Bert::new(config, weights, Device::Cpu), tokenizer)
}

/// All pairs in both directions.
fn batch(tokenizer: &Tokenizer) -> Batch {
    let mut batch = Batch::new();
    for (a, b) in PAIRS.iter().flat_map(|&(a, b)| [(a, b), (b, a)]) {
        let pair = tokenizer.pair(a, b, 64).unwrap();
        batch.push(&pair.ids, &pair.segments);
    }
    batch
}

/// Each row with its pair, and what is alike in a batch of such pairs.
fn both_ways(pairs: usize) -> (Vec<[usize; 2]>, Alike) {
    let meanings: Vec<usize> = (0..2 * pairs).map(|row| row / 2).collect();
    ((0..2 * pairs).map(|row| [row, row ^ 1]).collect(), Alike::of_meanings(&meanings))
}

fn gap(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn every_parameter_receives_a_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let (network, tokenizer) = network(folder.path());
    let batch = batch(&tokenizer);
    let states = network.forward(&batch, None).unwrap();
    let vectors = network.sentence_vectors(&states, &batch).unwrap();
    let generation = losses::generation(&network, &states, &batch).unwrap();
    let (positives, alike) = both_ways(PAIRS.len());
    let total = (losses::similarity(&vectors, 30.0, &positives, &alike).unwrap() + generation).unwrap();
    let gradients = total.backward().unwrap();
    for (name, variable) in network.weights().iter() {
        let gradient = gradients.get(variable).unwrap_or_else(|| panic!("`{name}` has no gradient"));
        let largest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(largest > 0.0 && largest.is_finite(), "the gradient of `{name}` is {largest}");
    }
}

#[test]
fn frozen_layers_receive_no_gradient_and_the_others_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (network, tokenizer) = network(folder.path());
    let batch = batch(&tokenizer);
    let gradients = |network: &Bert| {
        let states = network.forward(&batch, None).unwrap();
        losses::generation(network, &states, &batch).unwrap().backward().unwrap()
    };
    let whole = gradients(&network);
    let part = gradients(&network.clone().with_frozen(1));
    for (name, variable) in network.weights().iter().filter(|(name, _)| !name.starts_with("pooler")) {
        let learns = !name.starts_with("embeddings.") && !name.starts_with("encoder.layer.0.");
        match part.get(variable) {
            Some(gradient) => {
                assert!(learns, "`{name}` has a gradient");
                assert_eq!(gap(gradient, whole.get(variable).unwrap()), 0.0, "{name}");
            }
            None => assert!(!learns, "`{name}` has no gradient"),
        }
    }
}

#[test]
fn the_source_never_sees_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let (network, tokenizer) = network(folder.path());
    let with = batch(&tokenizer);
    let mut without = Batch::new();
    for row in 0..with.len() {
        let source = with.segments_of(row).iter().filter(|&&segment| segment == 0).count();
        without.push(&with.ids_of(row)[..source], &vec![0; source]);
    }
    let vectors = |batch: &Batch| network.sentence_vectors(&network.forward(batch, None).unwrap(), batch).unwrap();
    assert!(gap(&vectors(&with), &vectors(&without)) < 1e-5);
}

#[test]
fn a_target_token_sees_nothing_after_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (network, tokenizer) = network(folder.path());
    let states = |target: &str| {
        let pair = tokenizer.pair("怎么退款", target, 64).unwrap();
        let mut batch = Batch::new();
        batch.push(&pair.ids, &pair.segments);
        network.forward(&batch, None).unwrap().narrow(0, 0, 8).unwrap() // the source's 6, then 如何
    };
    assert!(gap(&states("如何申请"), &states("如何改密码")) < 1e-5);
    assert!(gap(&states("如何申请"), &states("怎样申请")) > 1e-3);
}

#[test]
fn losses_at_chance_are_those_of_the_formulas() {
    let folder = tempfile::tempdir().unwrap();
    let (network, tokenizer) = network(folder.path());
    let rows = 128;
    let same = Tensor::ones((rows, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let same = (same * 0.5).unwrap(); // unit vectors, all alike
    let (positives, alike) = both_ways(rows / 2);
    let similarity = losses::similarity(&same, 30.0, &positives, &alike).unwrap().to_scalar::<f32>().unwrap();
    assert!((similarity - 127f32.ln()).abs() < 1e-4, "{similarity}");
    let batch = batch(&tokenizer);
    let states = network.forward(&batch, None).unwrap().zeros_like().unwrap();
    let generation = losses::generation(&network, &states, &batch).unwrap().to_scalar::<f32>().unwrap();
    let chance = (network.config().vocab_size as f32).ln();
    assert!((generation - chance).abs() < 1e-4, "{generation} is not {chance}");
}

#[test]
fn over_fits_eight_pairs_and_regenerates_them() {
    let folder = tempfile::tempdir().unwrap();
    let questions: Vec<String> = PAIRS.iter().map(|(a, _)| format!("\"{a}\"")).collect();
    let settings = settings(
        folder.path(),
        &format!(
            "[optimizer]\nsteps = 300\nbatch_pairs = 8\nlearning_rate = 3e-3\nwarmup_steps = 10\n\
             [samples]\nevery = 300\ncount = 2\nquestions = [{}]\n",
            questions.join(",")
        ),
    );
    let mut last = None;
    let mut generated = Vec::new();
    let outcome = Trainer::open(settings, Start::Fresh, &Device::Cpu)
        .unwrap()
        .run(None, |event| {
            match event {
                Event::Step(report) => last = Some(report.clone()),
                Event::Samples { samples, .. } => generated = samples.to_vec(),
                _ => {}
            }
            true
        })
        .unwrap();
    let last = last.unwrap();
    assert!(last.generation_loss < 0.05 && last.similarity_loss < 0.1, "{last:?}");
    assert_eq!(last.in_batch_accuracy, 1.0);
    for ((a, b), (question, samples)) in PAIRS.iter().zip(&generated) {
        assert_eq!(a, question);
        assert_eq!(samples, &[b.to_string(), b.to_string()]);
    }
    let run = folder.path().join("run");
    for file in ["log.jsonl", "loss.svg", "samples.txt", "model/model.safetensors", "model/config.json"] {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
    assert!(std::fs::read_to_string(run.join("loss.svg")).unwrap().contains("generation"));
    let model = outcome.model.unwrap();
    let config = Config::from_file(model.join("config.json")).unwrap();
    let (_, started) = Weights::load(&model.join("model.safetensors"), &config, &Device::Cpu).unwrap();
    assert!(started.is_empty(), "the saved model lacks {started:?}");
}

#[test]
fn a_resumed_run_has_the_losses_of_one_that_never_stopped() {
    let optimizer =
        "[optimizer]\nsteps = 12\nbatch_pairs = 4\nlearning_rate = 1e-3\naverage = 0.9\n[checkpoint]\nevery = 3\n";
    let average = |folder: &Path| std::fs::read(folder.join("run/checkpoint/average.safetensors")).unwrap();
    let run = |folder: &Path, start: Start, stop_after: u64| -> Vec<StepReport> {
        let mut reports = Vec::new();
        Trainer::open(settings(folder, optimizer), start, &Device::Cpu)
            .unwrap()
            .run(None, |event| {
                if let Event::Step(report) = event {
                    reports.push(report.clone());
                    return report.step < stop_after;
                }
                true
            })
            .unwrap();
        reports
    };
    let whole = tempfile::tempdir().unwrap();
    let steps = run(whole.path(), Start::Fresh, 99);
    let folder = tempfile::tempdir().unwrap();
    let mut parts = run(folder.path(), Start::Fresh, 4);
    parts.extend(run(folder.path(), Start::Resume, 99));
    assert_eq!(parts.len(), 12);
    assert!(average(whole.path()) == average(folder.path()), "the mean of the weights differs");
    for (a, b) in steps.iter().zip(&parts) {
        assert_eq!(a.step, b.step);
        assert_eq!(a.generation_loss, b.generation_loss, "step {}", a.step);
        assert_eq!(a.similarity_loss, b.similarity_loss, "step {}", a.step);
    }
    let log = std::fs::read_to_string(folder.path().join("run/log.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 12);
}

/// The reports of a run with `extra` settings, and its folder.
fn trained(extra: &str) -> (Vec<StepReport>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut reports = Vec::new();
    let trainer = Trainer::open(settings(folder.path(), extra), Start::Fresh, &Device::Cpu).unwrap();
    trainer
        .run(None, |event| {
            if let Event::Step(report) = event {
                reports.push(report.clone());
            }
            true
        })
        .unwrap();
    (reports, folder)
}

#[test]
fn a_batch_in_parts_has_the_losses_and_gradients_of_the_whole() {
    let with = |micro: &str| {
        trained(&format!(
            "[optimizer]\nsteps = 3\nbatch_pairs = 8\nlearning_rate = 1e-3\n{micro}[loss]\nscale = 20.0\n"
        ))
    };
    // Dropout differs between the whole and the parts; without it they must agree.
    let without_dropout = |micro: &str| {
        let folder = tempfile::tempdir().unwrap();
        let extra = format!("[optimizer]\nsteps = 3\nbatch_pairs = 8\nlearning_rate = 1e-3\n{micro}");
        let mut settings = settings(folder.path(), &extra);
        settings.model.dropout = Some(0.0);
        let mut reports = Vec::new();
        let trainer = Trainer::open(settings, Start::Fresh, &Device::Cpu).unwrap();
        let outcome = trainer.run(None, |event| {
            if let Event::Step(report) = event {
                reports.push(report.clone());
            }
            true
        });
        outcome.unwrap();
        reports
    };
    let (whole, parts) = (without_dropout(""), without_dropout("micro_batch = 3\n"));
    for (a, b) in whole.iter().zip(&parts) {
        assert!((a.generation_loss - b.generation_loss).abs() < 1e-4, "{a:?}\n{b:?}");
        assert!((a.similarity_loss - b.similarity_loss).abs() < 1e-4, "{a:?}\n{b:?}");
        assert!((a.gradient_norm / b.gradient_norm - 1.0).abs() < 1e-3, "{a:?}\n{b:?}");
    }
    let (dropped, _folder) = with("micro_batch = 5\n");
    assert!(dropped.iter().all(|report| report.gradient_norm.is_finite()));
}

#[test]
fn labelled_negatives_and_texts_take_part() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("unlike.tsv"), "怎么修改密码\t怎样申请退款\n天气\t信号\n").unwrap();
    std::fs::write(folder.path().join("texts.txt"), "外面下雨了\n身份证丢了\n").unwrap();
    let mut settings = settings(
        folder.path(),
        "negatives = [\"unlike.tsv\"]\ntexts = [\"texts.txt\"]\nbatch_negatives = 2\nbatch_texts = 1\nnoise_rate = 0.3\n\
         [optimizer]\nsteps = 3\nbatch_pairs = 8\nlearning_rate = 1e-3\n[loss]\nranking = 1.0\n",
    );
    settings.model.dropout = Some(0.0);
    let mut trainer = Trainer::open(settings, Start::Fresh, &Device::Cpu).unwrap();
    let report = trainer.step().unwrap();
    assert!(report.ranking_loss.is_some_and(|loss| loss > 0.0), "{report:?}");
}

#[test]
fn a_shallow_student_takes_the_layers_that_it_names() {
    let (_, folder) = trained("[optimizer]\nsteps = 1\nbatch_pairs = 8\nlearning_rate = 1e-3\n");
    let deep = folder.path().join("run/model");
    let student = tempfile::tempdir().unwrap();
    let mut settings = settings(student.path(), "[optimizer]\nsteps = 1\nbatch_pairs = 8\nlearning_rate = 1e-3\n");
    (settings.model.base, settings.model.from_scratch, settings.model.layers) = (deep.clone(), false, Some(vec![1]));
    let trainer = Trainer::open(settings.clone(), Start::Fresh, &Device::Cpu).unwrap();
    assert_eq!(trainer.network().config().num_hidden_layers, 1);
    let config = Config::from_file(deep.join("config.json")).unwrap();
    let (weights, _) = Weights::load(&deep.join("model.safetensors"), &config, &Device::Cpu).unwrap();
    let of =
        |weights: &Weights, layer| weights.get(&format!("encoder.layer.{layer}.output.dense.weight")).unwrap().clone();
    assert_eq!(gap(&of(trainer.network().weights(), 0), &of(&weights, 1)), 0.0);
    settings.model.layers = Some(vec![2]);
    let error = Trainer::open(settings, Start::Fresh, &Device::Cpu).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("`model.layers`") && error.contains("layers 0 to 1"), "{error}");
}

#[test]
fn the_best_weights_are_kept_and_a_run_without_progress_ends() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dev.tsv"), "怎么修改密码\t如何更换口令\t1\n手机没有信号\t开发票流程\t0\n")
        .unwrap();
    let dev = "[[dev]]\nname = \"ours\"\npath = \"dev.tsv\"\nevery = 2\n";
    let extra = "[optimizer]\nsteps = 60\nbatch_pairs = 8\nlearning_rate = 1e-3\n\
                 [checkpoint]\nbest = true\npatience = 3\n";
    let settings = settings(folder.path(), &format!("{extra}{dev}"));
    let outcome = Trainer::open(settings, Start::Fresh, &Device::Cpu).unwrap().run(None, |_| true).unwrap();
    // Two pairs are ordered rightly or not: after the first right order nothing can get better.
    assert!(outcome.steps < 60, "{} steps", outcome.steps);
    assert!(folder.path().join("run/best.safetensors").is_file());
    assert!(outcome.model.unwrap().join("model.safetensors").is_file());
}

#[test]
fn a_teacher_is_asked_once_and_remembered_on_disk() {
    let (_, folder) = trained("[optimizer]\nsteps = 1\nbatch_pairs = 8\nlearning_rate = 1e-3\n");
    let teacher = folder.path().join("run/model");
    let student = tempfile::tempdir().unwrap();
    let run = || {
        let extra = format!(
            "[optimizer]\nsteps = 2\nbatch_pairs = 4\nlearning_rate = 1e-3\n\
             [teacher]\nmodel = {teacher:?}\npooling = \"mean\"\nweight = 1.0\nsame_above = 0.99\n"
        );
        let mut asked = 0;
        let trainer = Trainer::open(settings(student.path(), &extra), Start::Restart, &Device::Cpu).unwrap();
        trainer
            .run(None, |event| {
                match event {
                    Event::Teacher { texts, .. } => asked = texts,
                    Event::Step(report) => assert!(report.relation_loss.is_some()),
                    _ => {}
                }
                true
            })
            .unwrap();
        asked
    };
    assert_eq!(run(), 16);
    assert_eq!(run(), 0);
    let cache = student.path().join("run/teacher.safetensors");
    std::fs::write(&cache, "rubbish").unwrap();
    let other = format!(
        "[optimizer]\nsteps = 2\nbatch_pairs = 4\nlearning_rate = 1e-3\n\
         [teacher]\nmodel = {teacher:?}\nweight = 1.0\ncache = \"elsewhere.safetensors\"\n"
    );
    let run = |start, go_on: fn(&Event<'_>) -> bool| {
        let trainer = Trainer::open(settings(student.path(), &other), start, &Device::Cpu).unwrap();
        trainer.run(None, |event| go_on(&event)).unwrap()
    };
    let stopped = run(Start::Restart, |event| !matches!(event, Event::Teacher { .. }));
    assert!(stopped.model.is_none() && stopped.steps == 0, "it goes on while the teacher is asked");
    assert_eq!(run(Start::Fresh, |event| !matches!(event, Event::Step(_))).steps, 1);
    assert!(student.path().join("elsewhere.safetensors").is_file());
    assert_eq!(run(Start::Resume, |_| true).steps, 2);
    let extra = format!(
        "[optimizer]\nsteps = 2\nbatch_pairs = 4\nlearning_rate = 1e-3\n[teacher]\nmodel = {teacher:?}\nweight = 1.0\n"
    );
    let trainer = Trainer::open(settings(student.path(), &extra), Start::Restart, &Device::Cpu).unwrap();
    let error = trainer.run(None, |_| true).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("remove the file"), "{error}");
}

#[test]
fn the_reference_preset_is_the_published_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "output = \"run\"\n[model]\nbase = \"base\"\n[data]\npairs = [\"pairs.jsonl\"]\n").unwrap();
    let settings = Settings::from_file_over(&file, Some("reference")).unwrap();
    let optimizer = &settings.optimizer;
    assert_eq!((optimizer.steps, optimizer.batch_pairs, optimizer.learning_rate), (1_170_000, 64, 2e-6));
    assert_eq!((optimizer.weight_decay, optimizer.decay_all, optimizer.clip_norm), (0.01, true, 0.0));
    assert_eq!((settings.loss.generation, settings.loss.similarity, settings.loss.scale), (1.0, 1.0, 30.0));
    assert_eq!((settings.data.max_tokens, settings.data.max_characters), (64, Some(30)));
    std::fs::write(
        &file,
        "output = \"run\"\n[model]\nbase = \"base\"\n[data]\npairs = [\"p.jsonl\"]\n[optimizer]\nsteps = 7\n",
    )
    .unwrap();
    let settings = Settings::from_file_over(&file, Some("reference")).unwrap();
    assert_eq!((settings.optimizer.steps, settings.optimizer.batch_pairs), (7, 64));
    for (line, reason) in
        [("step = 7", "mine.toml:6: unknown field `step`"), ("steps = \"7\"", "mine.toml:6: invalid type")]
    {
        let text =
            "output = \"run\"\n[model]\nbase = \"base\"\n\n[optimizer]\n".to_owned() + line + "\n[data]\npairs = []\n";
        std::fs::write(&file, text).unwrap();
        let error = Settings::from_file_over(&file, Some("reference")).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let error = Settings::from_file_over(&file, Some("refrence")).unwrap_err().to_string();
    assert!(error.contains("expected reference"), "{error}");
}

#[test]
fn a_checkpoint_is_neither_overwritten_nor_mixed_with_other_settings() {
    let folder = tempfile::tempdir().unwrap();
    let short = "[optimizer]\nsteps = 2\nbatch_pairs = 4\nlearning_rate = 1e-3\n";
    let open = |extra: &str, start| Trainer::open(settings(folder.path(), extra), start, &Device::Cpu).map(|_| ());
    let error = open(short, Start::Resume).unwrap_err().to_string();
    assert!(error.contains("without `--resume`"), "{error}");
    Trainer::open(settings(folder.path(), short), Start::Fresh, &Device::Cpu).unwrap().run(None, |_| true).unwrap();
    let error = open(short, Start::Fresh).unwrap_err().to_string();
    assert!(error.contains("`--resume`") && error.contains("`--restart`"), "{error}");
    let error = open(&short.replace("1e-3", "2e-3"), Start::Resume).unwrap_err().to_string();
    assert!(error.contains("`optimizer`"), "{error}");
    open(short, Start::Restart).unwrap();
    let error = open(short, Start::Resume).unwrap_err().to_string();
    assert!(error.contains("without `--resume`"), "a run that starts afresh leaves the old checkpoint: {error}");
}

#[test]
fn what_a_killed_save_left_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let optimizer = "[optimizer]\nsteps = 3\nbatch_pairs = 4\nlearning_rate = 1e-3\n[checkpoint]\nevery = 1\n";
    let open = |start| Trainer::open(settings(folder.path(), optimizer), start, &Device::Cpu).unwrap();
    open(Start::Fresh).run(None, |event| !matches!(event, Event::Step(_))).unwrap();
    for left in ["checkpoint.old", "checkpoint.partial"] {
        std::fs::create_dir(folder.path().join("run").join(left)).unwrap();
        std::fs::write(folder.path().join("run").join(left).join("state.json"), "torn").unwrap();
    }
    assert_eq!(open(Start::Resume).run(None, |_| true).unwrap().steps, 3);
    for left in ["checkpoint.old", "checkpoint.partial"] {
        assert!(!folder.path().join("run").join(left).exists(), "{left} is left");
    }
}

#[test]
fn a_model_is_served_as_it_was_trained_without_the_prefix_of_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "[optimizer]\nsteps = 1\nbatch_pairs = 4\nlearning_rate = 1e-3\n");
    let path = folder.path().join("base/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["prefix"] = "query: ".into();
    std::fs::write(&path, config.to_string()).unwrap();
    assert_eq!(Config::from_file(&path).unwrap().prefix, "query: ");
    let outcome = Trainer::open(settings, Start::Fresh, &Device::Cpu).unwrap().run(None, |_| true).unwrap();
    assert_eq!(Config::from_file(outcome.model.unwrap().join("config.json")).unwrap().prefix, "");
}

#[test]
fn bad_settings_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |text: &str| {
        std::fs::write(folder.path().join("bad.toml"), text).unwrap();
        Settings::from_file(folder.path().join("bad.toml")).unwrap_err().to_string()
    };
    let good = "output = \"run\"\n[model]\nbase = \"base\"\n[data]\npairs = [\"pairs.tsv\"]\n\
                [optimizer]\nsteps = 2\nbatch_pairs = 4\nlearning_rate = 1e-3\n";
    assert!(error(&good.replace("steps", "step")).contains("bad.toml:7: unknown field `step`"));
    assert!(error(&good.replace("1e-3", "-1.0")).contains("`optimizer.learning_rate`"));
    assert!(error("output = ").contains("bad.toml:1"));
    assert!(Settings::from_file(folder.path().join("none.toml")).unwrap_err().to_string().contains("none.toml"));
}

/// bf16 keeps 8 bits of every factor, so a factor is off by up to 0.2 %. The similarity loss would magnify that without
/// end: the vectors of a fresh network are nearly the same. So the vectors are held against a fixed pattern instead.
#[test]
fn gradients_in_bf16_are_those_of_f32_within_its_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let (network, tokenizer) = network(folder.path());
    let batch = batch(&tokenizer);
    let pattern: Vec<f32> = (0..batch.len() * network.config().hidden_size).map(|i| (i as f32).sin()).collect();
    let pattern = Tensor::from_vec(pattern, (batch.len(), network.config().hidden_size), &Device::Cpu).unwrap();
    let gradients = |network: &Bert| {
        let states = network.forward(&batch, None).unwrap();
        let vectors = network.sentence_vectors(&states, &batch).unwrap();
        let generation = losses::generation(network, &states, &batch).unwrap();
        ((vectors * &pattern).unwrap().sum_all().unwrap() + generation).unwrap().backward().unwrap()
    };
    let (exact, rounded) = (gradients(&network), gradients(&network.clone().with_compute(Compute::Bf16)));
    let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    for (name, variable) in network.weights().iter() {
        let (exact, rounded) = (exact.get(variable).unwrap(), rounded.get(variable).unwrap());
        let error = norm(&(exact - rounded).unwrap()) / norm(exact);
        assert!(error < 0.1, "the gradient of `{name}` is off by {error}");
        assert!(error > 0.0, "the gradient of `{name}` was not computed in bf16");
    }
}

#[test]
fn a_run_in_bf16_learns_as_one_in_f32() {
    let run = |compute: &str| {
        let folder = tempfile::tempdir().unwrap();
        let optimizer = "[optimizer]\nsteps = 60\nbatch_pairs = 8\nlearning_rate = 3e-3\nwarmup_steps = 10\n";
        let mut settings = settings(folder.path(), optimizer);
        settings.model.compute = serde_json::from_value(compute.into()).unwrap();
        let mut losses = Vec::new();
        Trainer::open(settings, Start::Fresh, &Device::Cpu)
            .unwrap()
            .run(None, |event| {
                if let Event::Step(report) = event {
                    losses.push((report.generation_loss, report.similarity_loss));
                }
                true
            })
            .unwrap();
        losses
    };
    let (exact, rounded) = (run("f32"), run("bf16"));
    assert_ne!(exact[0], rounded[0]);
    for ((generation, similarity), (rounded_generation, rounded_similarity)) in exact.iter().zip(&rounded).take(5) {
        assert!((generation / rounded_generation - 1.0).abs() < 0.01, "{generation}, in bf16 {rounded_generation}");
        assert!((similarity / rounded_similarity - 1.0).abs() < 0.02, "{similarity}, in bf16 {rounded_similarity}");
    }
    let (start, end) = (rounded[0], rounded[59]);
    assert!(end.0 < 0.7 * start.0 && end.1 < 0.7 * start.1, "from {start:?} to {end:?}");
    assert!(end.0 < 1.2 * exact[59].0, "{end:?}, in f32 {:?}", exact[59]);
}
