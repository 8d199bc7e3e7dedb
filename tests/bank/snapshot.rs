//! Snapshots of a bank that is used meanwhile, and banks made of them; exports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;
use simbert::Error;
use simbert::engine::{BankFiles, Metadata, MetadataValue, QuestionFile, QuestionFormat, SearchRequest};

use super::encoder::LetterPairs;
use super::*;

fn copy_name() -> BankName {
    BankName::new("copy").unwrap()
}

fn version(n: u64, i: u64) -> Question {
    Question { faq_id: Some(format!("faq {}", i % 7)), ..question(i, &format!("第{n}版{}", wording(i))) }
}

#[test]
fn a_snapshot_holds_one_batch_while_writes_and_searches_go_on() {
    const QUESTIONS: u64 = 1500;
    let data = tempfile::tempdir().unwrap();
    let engine = engine(data.path());
    let bank = created(&engine);
    bank.upsert((0..QUESTIONS).map(|i| version(0, i)).collect()).unwrap();
    let (stop, written, searched) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each commit gives all questions of one group a new version, so a whole state has one version for each.
            for n in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let group = n % 10;
                bank.upsert((0..QUESTIONS).filter(|i| i % 10 == group).map(|i| version(n, i)).collect()).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let hits = bank.search(&SearchRequest::text(wording(3), 5)).unwrap().hits;
                assert_eq!(hits.len(), 5);
                searched.fetch_add(1, Ordering::Relaxed);
            }
        });
        for n in 0..5 {
            let file = data.path().join(format!("{n}.bank"));
            let (writes, searches) = (written.load(Ordering::Relaxed), searched.load(Ordering::Relaxed));
            let taken = bank
                .snapshot(&file, false, &|_, _| {
                    // Slow enough for commits to come between the slices.
                    let seen = written.load(Ordering::Relaxed);
                    let patience = std::time::Instant::now();
                    while written.load(Ordering::Relaxed) == seen && patience.elapsed().as_secs() < 20 {
                        std::thread::yield_now();
                    }
                })
                .unwrap();
            assert!(written.load(Ordering::Relaxed) > writes + 1 && searched.load(Ordering::Relaxed) > searches);
            assert_eq!((taken.counts.questions, taken.counts.faqs), (QUESTIONS, 7));
            engine.restore(&file, Some(&copy_name()), &|_, _| ()).unwrap();
            let copy = engine.bank(&copy_name()).unwrap();
            assert_eq!(copy.verify(&|_, _| ()).unwrap(), QUESTIONS);
            for group in 0..10 {
                // The last commit to this group of those up to the snapshot's batch; the first batch was the load.
                let last = (0..taken.counts.batch).rev().find(|n| *n == 0 || n % 10 == group).unwrap();
                let ids: Vec<_> = (0..QUESTIONS).filter(|i| i % 10 == group).map(id).collect();
                for question in copy.get(&ids).unwrap().into_iter().flatten() {
                    let i = question.id.as_str().parse().unwrap();
                    assert_eq!(question, version(last, i), "batch {}", taken.counts.batch);
                }
            }
            drop(copy);
            engine.delete_bank(&copy_name()).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_restored_bank_answers_as_the_first_did_and_belongs_to_its_model() {
    let data = tempfile::tempdir().unwrap();
    let first = engine(data.path());
    let bank = created(&first);
    bank.upsert((0..300).map(|i| version(0, i)).collect()).unwrap();
    bank.delete(&(0..30).map(id).collect::<Vec<_>>()).unwrap();
    let file = data.path().join("faq.bank");
    bank.snapshot(&file, false, &|_, _| ()).unwrap();
    let refused = bank.snapshot(&file, false, &|_, _| ()).unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { kind: "file", .. }), "{refused}");
    let taken = bank.snapshot(&file, true, &|_, _| ()).unwrap();
    assert_eq!(taken.bank, "faq");
    assert!(matches!(first.restore(&file, None, &|_, _| ()), Err(Error::AlreadyExists { kind: "bank", .. })));

    // Another folder, and an engine of another model: the bank stays that of the first.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Engine::with_encoder(elsewhere.path(), Arc::new(LetterPairs::new("other"))).unwrap();
    let (restored, _) = other.restore(&file, None, &|_, _| ()).unwrap();
    assert_eq!(restored, name());
    assert!(matches!(other.bank(&restored).map(drop), Err(Error::ModelMismatch { .. })));
    let copy = engine(elsewhere.path()).bank(&restored).unwrap();
    assert_eq!(copy.list(None, 1000).unwrap(), bank.list(None, 1000).unwrap());
    assert_eq!(copy.status().unwrap().settings, bank.status().unwrap().settings);
    for exact in [false, true] {
        let request = SearchRequest { exact, ..SearchRequest::text("怎么取消会员", 20) };
        // Equal scores are in the order of internal ids, which are the bank's own business.
        let shown = |bank: &Bank| {
            let hits = bank.search(&request).unwrap().hits;
            let mut hits: Vec<_> = hits.into_iter().map(|hit| (hit.score.to_bits(), hit.question.id)).collect();
            let last = hits.last().unwrap().0;
            hits.retain(|(score, _)| *score != last);
            hits.sort();
            hits
        };
        assert_eq!(shown(&copy), shown(&bank));
    }
    copy.upsert(vec![question("new", "怎么办护照")]).unwrap();
    assert_eq!(copy.verify(&|_, _| ()).unwrap(), 271);
    // From the files of a bank that is closed, the same.
    drop((bank, first));
    let again = data.path().join("again.bank");
    let offline = BankFiles::open(data.path(), &name()).unwrap().snapshot(&again, false, &|_, _| ()).unwrap();
    assert_eq!(offline, taken);
}

fn value() -> impl Strategy<Value = MetadataValue> {
    prop_oneof![
        any::<bool>().prop_map(MetadataValue::Flag),
        prop::num::f64::NORMAL.prop_map(MetadataValue::Number),
        any::<i32>().prop_map(|n| MetadataValue::Number(f64::from(n))),
        "[ -~怎么\n\t\"\\\\]{0,12}".prop_map(MetadataValue::Text),
    ]
}

fn any_question() -> impl Strategy<Value = Question> {
    let key = prop_oneof![
        "[a-z]{1,6}".boxed(),
        prop::sample::select(vec!["id", "text", "metadata", "faq_id"]).prop_map(str::to_owned).boxed()
    ];
    let text = "[ -~怎么退款\n\t\"\\\\\u{1}\u{2028}]{0,20}问";
    let metadata = prop::collection::btree_map(key, value(), 0..4);
    ("[0-9a-z 怎]{1,8}", text, prop::option::of("[a-z0-9 ]{1,5}"), prop::option::of("[ -~\n答]{0,30}"), metadata)
        .prop_map(|(of, text, faq_id, answer, metadata): (String, String, _, _, Metadata)| Question {
            faq_id,
            answer,
            metadata,
            ..question(of, &text)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn an_export_is_read_back_as_it_was(questions in prop::collection::vec(any_question(), 0..40)) {
        let data = tempfile::tempdir().unwrap();
        let bank = created(&engine(data.path()));
        bank.upsert(questions).unwrap();
        let expected = bank.list(None, 1000).unwrap();
        drop(bank);
        let mut lines = Vec::new();
        let files = BankFiles::open(data.path(), &name()).unwrap();
        let exported = files.export(None, &mut |question| {
            serde_json::to_writer(&mut lines, &question).unwrap();
            lines.push(b'\n');
            Ok(())
        }, &|_, _| ()).unwrap();
        prop_assert_eq!(exported, expected.len() as u64);
        let source = Box::new(std::io::Cursor::new(lines));
        let read = QuestionFile::new(source, std::path::Path::new("export"), QuestionFormat::JsonLines).unwrap();
        prop_assert_eq!(read.collect::<simbert::Result<Vec<_>>>().unwrap(), expected, "in the order of ids");
    }
}

#[test]
fn the_commands_copy_a_bank_and_name_what_is_wrong() {
    use super::command::{failure, json, run, stdout};
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = folder.join("data");
    let bank = created(&engine(&data));
    bank.upsert((0..20).map(|i| version(0, i)).collect()).unwrap();
    drop(bank);
    let file = folder.join("faq.bank");
    let file = file.to_str().unwrap();
    let taken = json(folder, &["bank", "snapshot", "faq", file]);
    assert_eq!((&taken["questions"], &taken["batch"]), (&20.into(), &1.into()));
    assert!(failure(folder, &["bank", "snapshot", "faq", file], "").contains("pass `--force` to replace it"));
    let shown = stdout(folder, &["bank", "snapshot", "faq", file, "--force"], "");
    assert_eq!(shown, format!("bank `faq`: 20 questions copied to {file}, as of batch 1\n"));
    assert_eq!(json(folder, &["bank", "restore", file, "--dry-run"])["questions"], 20);
    assert!(failure(folder, &["bank", "restore", file], "").contains("bank `faq` already exists"));
    assert_eq!(json(folder, &["bank", "restore", file, "copy"])["model_fingerprint"], "letters");

    let export = stdout(folder, &["bank", "export", "faq"], "");
    let lines = folder.join("faq.jsonl");
    let lines = lines.to_str().unwrap();
    assert_eq!(json(folder, &["bank", "export", "copy", lines])["exported"], 20);
    assert_eq!(std::fs::read_to_string(lines).unwrap(), export);
    assert!(failure(folder, &["bank", "export", "copy", lines], "").contains("`--force`"));
    assert!(export.lines().is_sorted() && export.lines().count() == 20);

    let db = sled::open(data.join("banks/copy")).unwrap();
    db.insert([b'v', 0, 0, 0, 4, 0], b"nonsense").unwrap();
    db.insert([b'r', 0, 0, 0, 5, 0], b"nonsense").unwrap();
    drop(db);
    let verified = run(folder, &["bank", "verify", "copy", "--json"], "");
    assert_eq!(verified.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&found["verified"], &found["expected"]), (&18.into(), &20.into()));
    assert_eq!(found["damaged"][0]["internal_id"], 4);
    assert!(found["damaged"][0]["question"].is_string() && found["damaged"][1]["question"].is_null());
    let shown = failure(folder, &["bank", "verify", "copy"], "");
    assert!(shown.contains("18 of the 20 questions that should be there are whole"), "{shown}");
    assert!(failure(folder, &["bank", "list-questions", "copy"], "").contains("`simbert bank verify copy` names all"));
    let saved = run(folder, &["bank", "export", "copy", "--skip-damaged"], "");
    assert_eq!(String::from_utf8(saved.stdout).unwrap().lines().count(), 19);
    assert!(String::from_utf8(saved.stderr).unwrap().contains("skipped the question under internal id 5"));
    assert_eq!(json(folder, &["bank", "verify", "faq"])["verified"], 20);

    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    let torn = failure(folder, &["bank", "restore", file, "torn"], "");
    assert!(torn.contains("faq.bank is damaged: it ends at byte"), "{torn}");
    assert!(failure(folder, &["bank", "status", "torn"], "").contains("was not found"));
}
