//! Writing, reading, reopening, refusing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use simbert::Error;
use simbert::engine::{BankName, Engine, ExpandRequest, Fusion, MetadataValue, Question, SearchRequest, UpsertOutcome};

use super::encoder::{LetterPairs, WIDTH};
use super::*;

#[test]
fn questions_come_back_as_they_were_put_in() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    let full = Question {
        faq_id: Some("refund".to_owned()),
        answer: Some("答".repeat(20_000)),
        metadata: [("n".to_owned(), MetadataValue::Number(1.0))].into(),
        ..question("b", "怎么退款")
    };
    let outcome = bank.upsert(vec![question("c", "旧的"), full.clone(), question("c", "怎么改密码")]).unwrap();
    assert_eq!(outcome, UpsertOutcome { inserted: 2, ..Default::default() }, "the last of several with one id wins");
    assert_eq!(bank.upsert(vec![question("a", "几点开门")]).unwrap().inserted, 1);
    let found = bank.get(&[id("c"), id("none"), id("b")]).unwrap();
    assert_eq!(found, [Some(question("c", "怎么改密码")), None, Some(full.clone())]);

    let page = bank.list(None, 2).unwrap();
    assert_eq!(page.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bank.list(Some(&page[1].id), 2).unwrap(), [question("c", "怎么改密码")]);
    let status = bank.status().unwrap();
    assert_eq!((status.questions, status.faqs, status.dimension), (3, 1, WIDTH));
    assert!(status.bytes_on_disk > 0);

    assert_eq!(bank.delete(&[id("b"), id("b"), id("none")]).unwrap(), 1);
    assert_eq!(bank.delete(&[id("b")]).unwrap(), 0);
    assert_eq!(bank.get(&[id("b")]).unwrap(), [None]);
    assert_eq!(bank.search(&SearchRequest::text("怎么退款", 10)).unwrap().hits.len(), 2);
    assert_eq!((bank.status().unwrap().questions, bank.status().unwrap().faqs), (2, 0));
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), 2);
}

#[test]
fn a_reopened_bank_is_the_same_bank() {
    let data = tempfile::tempdir().unwrap();
    let request = SearchRequest::text("怎么取消会员", 20);
    let before = {
        let bank = created(&engine(data.path()));
        bank.upsert((0..500).map(|n| question(n, &wording(n))).collect()).unwrap();
        bank.delete(&(0..100).map(id).collect::<Vec<_>>()).unwrap();
        bank.upsert((90..150).map(|n| question(n, &wording(n + 1000))).collect()).unwrap();
        bank.search(&request).unwrap().hits
    };
    let engine = engine(data.path());
    assert_eq!(engine.banks().unwrap()[0].questions, 410, "counted without opening");
    let bank = engine.bank(&name()).unwrap();
    assert_eq!(bank.search(&request).unwrap().hits, before);
    // Ids that deletions left free are given away again.
    bank.upsert((600..700).map(|n| question(n, &wording(n))).collect()).unwrap();
    assert_eq!(bank.status().unwrap().questions, 510);
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), 510);
    engine.close().unwrap();
}

#[test]
fn an_unchanged_text_is_not_encoded_again() {
    let data = tempfile::tempdir().unwrap();
    let encoder = Arc::new(LetterPairs::new("letters"));
    let engine = Engine::with_encoder(data.path(), encoder.clone()).unwrap();
    let bank = created(&engine);
    bank.upsert(vec![question(1, "怎么退款"), question(2, "几点开门")]).unwrap();
    let before = bank.search(&SearchRequest::text("怎么退款", 1)).unwrap().hits[0].score;
    encoder.encoded.store(0, Ordering::Relaxed);
    let changed = Question { faq_id: Some("refund".to_owned()), ..question(1, "怎么退款") };
    let outcome = bank.upsert(vec![changed.clone(), question(2, "几点关门")]).unwrap();
    assert_eq!((outcome.updated, encoder.encoded.load(Ordering::Relaxed)), (2, 1));
    let hit = &bank.search(&SearchRequest::text("怎么退款", 1)).unwrap().hits[0];
    assert_eq!((&hit.question, hit.score), (&changed, before));
}

#[test]
fn vectors_of_the_callers_own_are_normalised_and_checked() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    let own = LetterPairs::vector("完全不同").iter().map(|x| x * 1e20).collect();
    bank.upsert_with_vectors(vec![(question(1, "怎么退款"), own)]).unwrap();
    let hits = bank.search(&SearchRequest::text("完全不同", 1)).unwrap().hits;
    assert!((hits[0].score - 1.0).abs() < 1e-6);
    for bad in [vec![0.0; WIDTH], vec![f32::NAN; WIDTH], vec![1.0; WIDTH - 1]] {
        assert!(matches!(bank.upsert_with_vectors(vec![(question(2, "x"), bad)]), Err(Error::Invalid { .. })));
    }
    assert_eq!(bank.status().unwrap().questions, 1);
}

#[test]
fn one_bad_question_keeps_all_out() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    let refused = bank.upsert(vec![question("good", "怎么退款"), question("bad one", "  ")]).unwrap_err();
    assert!(refused.to_string().contains("question `bad one`"), "{refused}");
    assert_eq!(bank.status().unwrap().questions, 0);
    assert_eq!(bank.upsert(vec![]).unwrap(), UpsertOutcome::default());
}

#[test]
fn another_model_and_a_second_opener_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let first = engine(data.path());
    created(&first);
    let second = engine(data.path());
    let refused = second.bank(&name()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Unavailable { .. }) && refused.to_string().contains("bank `faq`"), "{refused}");
    assert!(matches!(second.create_bank(&name(), Default::default()), Err(Error::AlreadyExists { .. })));
    assert!(matches!(second.delete_bank(&name()), Err(Error::Unavailable { .. })));
    assert_eq!(second.banks().unwrap().len(), 1, "listing needs no lock");
    drop(first);
    let other = Engine::with_encoder(data.path(), Arc::new(LetterPairs::new("other"))).unwrap();
    match other.bank(&name()).map(|_| ()) {
        Err(Error::ModelMismatch { bank, expected, received }) => {
            assert_eq!((bank.as_str(), expected.as_str(), received.as_str()), ("faq", "letters", "other"));
        }
        other => panic!("{other:?}"),
    }
    second.bank(&name()).unwrap();
}

#[test]
fn a_deleted_bank_is_gone_for_every_handle() {
    let data = tempfile::tempdir().unwrap();
    let engine = engine(data.path());
    let bank = created(&engine);
    bank.upsert(vec![question(1, "怎么退款")]).unwrap();
    engine.delete_bank(&name()).unwrap();
    assert!(matches!(bank.search(&SearchRequest::text("x", 1)), Err(Error::NotFound { .. })));
    assert!(matches!(bank.upsert(vec![question(2, "x")]), Err(Error::NotFound { .. })));
    assert!(matches!(engine.bank(&name()).map(|_| ()), Err(Error::NotFound { .. })));
    assert!(matches!(engine.delete_bank(&name()), Err(Error::NotFound { .. })));
    let again = created(&engine);
    assert_eq!(again.status().unwrap().questions, 0);
    drop(bank);
    again.upsert(vec![question(1, "怎么退款")]).unwrap();
    assert_eq!(engine.bank(&BankName::new("faq").unwrap()).unwrap().verify(&|_, _| ()).unwrap(), 1);
}

#[test]
fn readers_see_whole_commits_while_writers_write() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    let generation = |n: u64| (0..50).map(|i| question(i, &format!("第{n}版问题{i}"))).collect::<Vec<_>>();
    bank.upsert(generation(0)).unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (bank, generation) = (bank.clone(), &generation);
                scope.spawn(move || {
                    for n in 1..15 {
                        bank.upsert(generation(n * 2 + writer)).unwrap();
                    }
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            let hits =
                bank.search(&SearchRequest { exact: true, ..SearchRequest::text("第3版问题7", 100) }).unwrap().hits;
            assert_eq!(hits.len(), 50);
            let version = |text: &str| text.split('版').next().unwrap().to_owned();
            assert!(hits.iter().all(|hit| version(&hit.question.text) == version(&hits[0].question.text)));
        }
    });
}

/// An expanded search waits for threads that batches keep busy, and holds what a write waits for.
#[test]
fn expanded_searches_batches_and_writes_do_not_wait_for_each_other_for_ever() {
    const TURNS: u64 = 150;
    let data = tempfile::tempdir().unwrap();
    let bank = engine(data.path()).with_writer(Arc::new(super::encoder::Synonyms));
    let bank = created(&bank);
    bank.upsert((0..2000).map(|n| question(n, &wording(n))).collect()).unwrap();
    let (done, all) = std::sync::mpsc::channel();
    let spawn = |turn: fn(&Bank, u64)| {
        let (bank, done) = (bank.clone(), done.clone());
        std::thread::spawn(move || {
            (0..TURNS).for_each(|n| turn(&bank, n));
            done.send(()).unwrap();
        });
    };
    for _ in 0..2 {
        spawn(|bank, n| {
            let batch: Vec<_> = (0..32).map(|i| SearchRequest::text(wording(32 * n + i), 5)).collect();
            bank.search_batch(&batch).unwrap();
        });
        spawn(|bank, n| {
            let (sampling, fusion) = (Default::default(), Fusion::ReciprocalRank { k: 60.0 });
            let search = SearchRequest::text(wording(n), 5);
            bank.expand(&ExpandRequest { search, phrases: 2, sampling, fusion }).unwrap();
        });
    }
    spawn(|bank, n| _ = bank.upsert(vec![question("again", &wording(2000 + n))]).unwrap());
    for _ in 0..5 {
        all.recv_timeout(std::time::Duration::from_secs(120)).expect("they wait for each other");
    }
}

#[test]
fn a_name_that_is_asked_for_in_vain_becomes_a_bank_as_any_other() {
    let data = tempfile::tempdir().unwrap();
    let engine = engine(data.path());
    assert!(matches!(engine.bank(&name()), Err(Error::NotFound { .. })));
    created(&engine).upsert(vec![question(1, "怎么退款")]).unwrap();
    engine.delete_bank(&name()).unwrap();
    assert!(matches!(engine.bank(&name()), Err(Error::NotFound { .. })));
    created(&engine).upsert(vec![question(1, "怎么退款")]).unwrap();
    assert_eq!(engine.bank(&name()).unwrap().status().unwrap().questions, 1);
}

#[test]
fn a_folder_that_is_no_bank_and_a_bank_that_cannot_be_described_hide_no_other() {
    let data = tempfile::tempdir().unwrap();
    let engine = engine(data.path());
    drop(created(&engine));
    let facts = data.path().join("banks/faq/bank.json");
    for (folder, facts) in [("faq copy", std::fs::read_to_string(&facts).unwrap()), ("bad", "{}".to_owned())] {
        std::fs::create_dir(data.path().join("banks").join(folder)).unwrap();
        std::fs::write(data.path().join("banks").join(folder).join("bank.json"), facts).unwrap();
    }
    let names: Vec<String> = engine.names().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["bad", "faq"]);
    let banks: Vec<BankName> = engine.banks().unwrap().into_iter().map(|bank| bank.name).collect();
    assert_eq!(banks, [name()]);
}
