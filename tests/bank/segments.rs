//! Graphs on the disk: they are there when a bank is opened, and no question is lost on the way into them.

use std::fs;
use std::path::{Path, PathBuf};

use simbert::Error;
use simbert::engine::{BankFiles, Quantisation, Query, SearchRequest};
use simbert::index::HnswSettings;

use super::encoder::{LetterPairs, WIDTH};
use super::*;

/// An engine whose banks soon have graphs.
fn eager(data: &Path) -> Engine {
    engine(data).with_graphs(HnswSettings { freeze_from: 500, walk_cost: 0, ..HnswSettings::default() })
}

fn fill(bank: &Bank, questions: std::ops::Range<u64>, at_once: u64) {
    for first in questions.clone().step_by(at_once as usize) {
        let last = (first + at_once).min(questions.end);
        bank.upsert((first..last).map(|n| question(n, &wording(n))).collect()).unwrap();
    }
}

fn request(n: u64, exact: bool) -> SearchRequest {
    SearchRequest { exact, query: Query::Vector(LetterPairs::vector(&wording(n))), ..SearchRequest::text("", 10) }
}

/// Each of some questions is found by its own vector, and a walk finds nearly what a comparison with all finds.
fn check(bank: &Bank, questions: std::ops::Range<u64>) {
    let (mut found, mut wanted) = (0, 0);
    for n in questions.step_by(41) {
        let [exact, walked] = [true, false].map(|exact| bank.search(&request(n, exact)).unwrap().hits);
        assert!((exact[0].score - 1.0).abs() < 1e-5);
        let floor = exact.last().unwrap().score - 1e-6;
        found += walked.iter().filter(|hit| hit.score >= floor).count();
        wanted += exact.len();
    }
    assert!(found as f64 > 0.95 * wanted as f64, "{found} of {wanted}");
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("banks/faq/segments")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_reopened_bank_has_its_graphs_at_once() {
    let data = tempfile::tempdir().unwrap();
    for quantisation in [Quantisation::Off, Quantisation::F16, Quantisation::Int8] {
        let engine = eager(data.path()).without_graphs();
        let settings = BankSettings { quantisation, ..BankSettings::default() };
        let bank = engine.create_bank(&name(), settings).unwrap();
        fill(&bank, 0..700, 50); // into sled
        fill(&bank, 700..1900, 400); // into files
        bank.delete(&(0..10).map(id).collect::<Vec<_>>()).unwrap();
        drop((bank, engine));
        {
            let bank = eager(data.path()).bank(&name()).unwrap();
            bank.link_now(&|_, _| ()).unwrap();
            assert_eq!(bank.status().unwrap().questions_in_graph, 1890);
        }
        assert_eq!(segments(data.path()).len(), 1, "the files of vectors are gone");
        let engine = eager(data.path()).without_graphs();
        let bank = engine.bank(&name()).unwrap();
        let status = bank.status().unwrap();
        assert_eq!((status.questions, status.questions_in_graph, status.damaged_graphs), (1890, 1890, 0));
        assert_eq!(status.settings.quantisation, quantisation);
        let bytes = status.index_bytes as f64 / 1890.0;
        let codes = match quantisation {
            Quantisation::Off => 4 * WIDTH,
            Quantisation::F16 => 2 * WIDTH,
            Quantisation::Int8 => WIDTH,
        } as f64;
        assert!(bytes > codes && bytes < codes + 260.0, "{bytes} bytes a question in {quantisation:?}");
        check(&bank, 10..1900);
        assert_eq!(bank.verify(&|_, _| ()).unwrap(), 1890);
        // What is gone stays gone, and its ids are not given to others while a segment has them.
        fill(&bank, 0..10, 10);
        fill(&bank, 3000..3100, 100);
        drop((bank, engine));
        let engine = eager(data.path());
        let bank = engine.bank(&name()).unwrap();
        check(&bank, 0..1900);
        assert_eq!(bank.verify(&|_, _| ()).unwrap(), 2000);
        engine.delete_bank(&name()).unwrap();
    }
}

#[test]
fn segments_are_merged_and_the_dead_leave_the_disk() {
    let data = tempfile::tempdir().unwrap();
    let engine = eager(data.path());
    let bank = created(&engine);
    for round in 0..4 {
        fill(&bank, round * 600..(round + 1) * 600, 100);
        bank.link_now(&|_, _| ()).unwrap();
    }
    check(&bank, 0..2400);
    assert!(segments(data.path()).len() <= 3);
    let size = || segments(data.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
    let before = size();
    bank.delete(&(0..1200).map(id).collect::<Vec<_>>()).unwrap();
    bank.link_now(&|_, _| ()).unwrap();
    assert!(size() < before * 2 / 3, "{before} bytes before, {} after", size());
    check(&bank, 1200..2400);
    bank.delete(&(1200..2400).map(id).collect::<Vec<_>>()).unwrap();
    bank.link_now(&|_, _| ()).unwrap();
    assert!(segments(data.path()).is_empty());
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), 0);
}

#[test]
fn searches_and_writes_go_on_while_segments_are_made() {
    let data = tempfile::tempdir().unwrap();
    let engine = eager(data.path());
    let bank = created(&engine);
    fill(&bank, 0..1500, 500);
    std::thread::scope(|scope| {
        let linker = scope.spawn(|| (0..5).for_each(|_| bank.link_now(&|_, _| ()).unwrap()));
        let mut n = 0;
        while !linker.is_finished() || n < 40 {
            bank.delete(&[id(n)]).unwrap();
            bank.upsert((0..20).map(|i| question(10_000 + 20 * n + i, &wording(2000 + 20 * n + i))).collect()).unwrap();
            let hits = bank.search(&request(2000 + 20 * n, false)).unwrap().hits;
            assert_eq!(hits.len(), 10);
            assert!((hits[0].score - 1.0).abs() < 1e-5 && hits.iter().all(|hit| hit.question.id != id(n)));
            n += 1;
        }
        assert_eq!(bank.verify(&|_, _| ()).unwrap(), 1500 - n + 20 * n);
    });
    let questions = bank.status().unwrap().questions;
    drop((bank, engine));
    let bank = eager(data.path()).bank(&name()).unwrap();
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), questions);
}

/// A closed bank of 1,000 questions in one segment; returns the segment's file.
fn in_one_segment(data: &Path) -> PathBuf {
    {
        let bank = created(&eager(data));
        fill(&bank, 0..1000, 100);
        bank.link_now(&|_, _| ()).unwrap();
    }
    let [file] = &segments(data)[..] else { panic!("one segment") };
    file.clone()
}

#[test]
fn a_damaged_graph_is_made_again_of_the_vectors() {
    let data = tempfile::tempdir().unwrap();
    let file = in_one_segment(data.path());
    let mut bytes = fs::read(&file).unwrap();
    // Codes and graph come after the vectors, whose rows are 1,280 bytes long.
    let at = 8192 + 1000 * 1280 + 4096 + 100_000;
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    let found = BankFiles::open(data.path(), &name()).unwrap().verify(&|_, _| ()).unwrap();
    assert!(found.is_whole() && found.graphs.len() == 1 && found.graphs[0].contains("checksum"), "{found:?}");
    {
        let bank = eager(data.path()).without_graphs().bank(&name()).unwrap();
        let status = bank.status().unwrap();
        assert_eq!((status.questions_in_graph, status.damaged_graphs), (0, 1));
        check(&bank, 0..1000);
    }
    {
        let bank = eager(data.path()).bank(&name()).unwrap();
        bank.link_now(&|_, _| ()).unwrap();
        assert_eq!(bank.status().unwrap().questions_in_graph, 1000);
    }
    let bank = eager(data.path()).bank(&name()).unwrap();
    assert_eq!(bank.status().unwrap().damaged_graphs, 0);
    check(&bank, 0..1000);
    assert_eq!(segments(data.path()).len(), 1);
}

#[test]
fn a_damaged_vector_is_named_and_never_served() {
    let data = tempfile::tempdir().unwrap();
    let file = in_one_segment(data.path());
    let whole = fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    bytes[8192 + 400 * 1280 + 7] ^= 1;
    fs::write(&file, bytes).unwrap();
    {
        let bank = eager(data.path()).bank(&name()).unwrap();
        for exact in [true, false] {
            let refused = bank.search(&request(400, exact)).unwrap_err();
            assert!(matches!(refused, Error::DataCorruption { .. }), "{refused}");
            assert!(refused.to_string().contains("the checksum of vector 400"), "{refused}");
        }
        let found = bank.examine(&|_, _| ()).unwrap();
        assert_eq!(found.whole, 999);
        assert_eq!(found.damaged[0].question.as_deref(), Some("400"));
        // It can be written again, or removed.
        bank.upsert(vec![question(400, "怎么退款")]).unwrap();
        assert_eq!(bank.verify(&|_, _| ()).unwrap(), 1000);
        check(&bank, 0..400);
    }
    for bytes in [&whole[..whole.len() - 1], &whole[..9000], b""] {
        fs::write(&file, bytes).unwrap();
        let refused = eager(data.path()).bank(&name()).map(drop).unwrap_err().to_string();
        for said in ["999 of 1000 questions", "its vector is missing, as is segment", "`simbert bank restore`"] {
            assert!(refused.contains(said), "`{refused}` should say `{said}`");
        }
        let mut saved = 0;
        let mut save = |_| {
            saved += 1;
            Ok(())
        };
        let files = BankFiles::open(data.path(), &name()).unwrap();
        files.export(None, &mut save, &|_, _| ()).unwrap();
        assert_eq!(saved, 1000, "the records are whole");
    }
}

#[test]
fn a_snapshot_of_a_bank_with_segments_is_the_whole_bank() {
    let data = tempfile::tempdir().unwrap();
    in_one_segment(data.path());
    let engine = eager(data.path());
    let bank = engine.bank(&name()).unwrap();
    fill(&bank, 1000..1020, 20);
    let file = data.path().join("faq.bank");
    bank.snapshot(&file, false, &|_, _| ()).unwrap();
    let copy = BankName::new("copy").unwrap();
    engine.restore(&file, Some(&copy), &|_, _| ()).unwrap();
    let copy = engine.bank(&copy).unwrap();
    assert_eq!(copy.verify(&|_, _| ()).unwrap(), 1020);
    check(&copy, 0..1020);
}

#[test]
fn a_bank_that_is_deleted_while_a_segment_is_made_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let engine = eager(data.path());
    let bank = created(&engine);
    fill(&bank, 0..1000, 500);
    std::thread::scope(|scope| {
        let linker = scope.spawn(|| bank.link_now(&|_, _| ()));
        engine.delete_bank(&name()).unwrap();
        let again = created(&engine);
        let _ = linker.join().unwrap();
        assert!(segments(data.path()).is_empty(), "the old bank's segment is not in the new one's folder");
        assert_eq!(again.status().unwrap().questions, 0);
    });
}
