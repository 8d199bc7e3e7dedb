//! What the bundled model and bank promise: the right FAQ first, and questions on topic.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use simbert::eval;
use simbert::generate::{GenerateRequest, Paraphrase, Paraphraser, Sampling};
use simbert::model::ModelDirectory;
use simbert::onnx::{Stamp, export};
use simbert::runtime::{Encoder, RuntimeOptions};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// Both halves of the bundled model, exported first where they are not.
fn model() -> &'static (Arc<Encoder>, Paraphraser) {
    static MODEL: OnceLock<(Arc<Encoder>, Paraphraser)> = OnceLock::new();
    MODEL.get_or_init(|| {
        let directory = ModelDirectory::open(data().join("model")).unwrap();
        if Stamp::check(&directory, &directory.encoder_path()).is_err() {
            export(&directory).unwrap();
        }
        let options = RuntimeOptions::default();
        let encoder = Arc::new(Encoder::open(&directory, &options).unwrap());
        (Arc::clone(&encoder), Paraphraser::open_beside(encoder, &directory, &options).unwrap())
    })
}

#[test]
fn the_right_faq_comes_first() {
    let (encoder, _) = model();
    let faq = eval::faq(
        data().join("faq/standard.tsv"),
        data().join("faq/queries.tsv"),
        &|texts: &[String]| Ok(encoder.encode(texts)?.vectors),
        None,
        &mut |_| {},
    )
    .unwrap();
    assert!(faq.queries >= 700, "{faq:?}");
    assert!(faq.recall_at_1 >= 0.80, "{faq:?}");
}

#[test]
fn every_faq_has_an_answer_and_two_or_three_test_queries() {
    let standard = std::fs::read_to_string(data().join("faq/standard.tsv")).unwrap();
    let queries = std::fs::read_to_string(data().join("faq/queries.tsv")).unwrap();
    let of = |id: &str| queries.lines().filter(|line| line.split('\t').nth(1) == Some(id)).count();
    for line in standard.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns.len(), 4, "{line}");
        assert!(columns.iter().all(|column| !column.trim().is_empty()), "{line}");
        assert!((2..=3).contains(&of(columns[0])), "{} test queries: {line}", of(columns[0]));
    }
}

#[test]
fn generated_questions_are_on_topic_and_the_same_for_one_seed() {
    let (_, paraphraser) = model();
    for (question, topic) in [
        ("微信和支付宝哪个好?", "微信支付宝"),
        ("怎么修改银行卡密码", "银行卡密码"),
        ("手机没有信号怎么办", "手机信号"),
    ] {
        let request = GenerateRequest {
            text: question.to_owned(),
            k: 10,
            sampling: Sampling { samples: 50, ..Sampling::default() },
            min_score: None,
        };
        let found = paraphraser.generate(&request).unwrap();
        assert!(found.len() >= 5, "{question}: {found:?}");
        let on_topic = found.iter().filter(|one| topic.chars().filter(|&c| one.text.contains(c)).count() >= 2).count();
        assert!(on_topic * 10 >= found.len() * 9, "{question}: {found:?}");
        let mean = found.iter().map(|one| one.score).sum::<f32>() / found.len() as f32;
        assert!(mean >= 0.8, "{question}: mean cosine {mean}: {found:?}");
        // The same texts; how their vectors share batches on several threads shows in the last bits of a score.
        let again = paraphraser.generate(&request).unwrap();
        let texts = |found: &[Paraphrase]| found.iter().map(|one| one.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&found), texts(&again));
        assert!(found.iter().zip(&again).all(|(a, b)| (a.score - b.score).abs() < 1e-5), "{found:?}, {again:?}");
        // With others beside it in every step, too.
        let others = ["怎么开发票", "我要退款", "今天天气怎么样"]
            .map(|text| GenerateRequest { text: text.to_owned(), ..request.clone() });
        let samples = |request: &GenerateRequest| paraphraser.samples(request).unwrap();
        let (alone, samples) = (samples(&request), &samples);
        std::thread::scope(|scope| {
            let mine = scope.spawn(|| samples(&request));
            others.iter().for_each(|other| drop(scope.spawn(move || samples(other))));
            assert_eq!(mine.join().unwrap(), alone);
        });
    }
}

#[test]
fn a_statement_stays_one_and_a_question_too() {
    let (_, paraphraser) = model();
    let list = |name| eval::WordList::read(data().join("generation").join(name)).unwrap();
    let rules = eval::SentenceRules { particles: list("particles.txt"), question_words: list("question-words.txt") };
    let (mut kept, mut all) = (0, 0);
    for text in ["我明天要去上海出差", "快递放在门口了", "这个周末我们去爬山", "怎么查询快递", "周末去哪里玩"]
    {
        let sampling = Sampling { samples: 50, ..Sampling::default() };
        let found =
            paraphraser.generate(&GenerateRequest { text: text.to_owned(), k: 10, sampling, min_score: None }).unwrap();
        assert!(found.len() >= 3, "{text}: {found:?}");
        all += found.len();
        kept += found.iter().filter(|one| rules.is_question(&one.text) == rules.is_question(text)).count();
    }
    assert!(kept * 10 >= all * 9, "{kept} of {all}");
}
