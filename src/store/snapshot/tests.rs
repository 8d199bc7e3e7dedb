use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::{BankFacts, Banks, Change, FORMAT, Record, Store, Stored};
use super::*;
use crate::{Error, Result};

fn facts() -> BankFacts {
    BankFacts {
        format: FORMAT,
        model_fingerprint: "f00d".to_owned(),
        dimension: 3,
        description: "描述".to_owned(),
        quantisation: "int8".to_owned(),
    }
}

fn record(id: u32, text: &str) -> Record {
    Record {
        id: format!("q{id}"),
        text: text.to_owned(),
        faq_id: id.is_multiple_of(2).then(|| format!("faq {}", id / 4)),
        ..Record::default()
    }
}

fn insert(id: u32, text: &str) -> Change {
    Change::Insert { id, record: record(id, text), vector: vec![id as f32, 0.5, -1.0] }
}

struct Fixture {
    folder: TempDir,
    banks: Banks,
    store: Store,
}

impl Fixture {
    /// A bank of `texts`, in one batch each.
    fn new(texts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let banks = Banks::open(folder.path()).unwrap();
        banks.create("b", &facts()).unwrap();
        let store = Store::open(&banks, "b", "f00d").unwrap().0;
        for (id, text) in (0..).zip(texts) {
            let faqs = (0..=id)
                .filter(|id: &u32| id.is_multiple_of(2))
                .map(|id| id / 4)
                .collect::<std::collections::HashSet<_>>();
            store.apply(&[insert(id, text)], u64::from(id) + 1, faqs.len() as u64).unwrap();
        }
        Self { folder, banks, store }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("b.bank")
    }

    fn begin(&self) -> Result<Snapshot<'_>> {
        self.store.begin_snapshot(self.store.live()?, &facts(), &self.file(), false)
    }

    fn taken(&self) -> Vec<u8> {
        self.begin().unwrap().run(&|_, _| Ok(())).unwrap();
        fs::read(self.file()).unwrap()
    }

    fn restore(&self, name: &str) -> Result<Vec<Stored>> {
        self.banks.restore(SnapshotFile::open(&self.file())?, name, &mut |_| Ok(()), &|_, _| Ok(()))?;
        let store = Store::open(&self.banks, name, "f00d")?.0;
        all(&store)
    }
}

/// All questions, by the callers' ids.
fn all(store: &Store) -> Result<Vec<Stored>> {
    let mut all = Vec::new();
    let found = store.verify(&mut |stored| {
        all.push(Stored { id: 0, ..stored });
        Ok(())
    })?;
    store.whole(&found)?;
    all.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    Ok(all)
}

fn check(path: &Path) -> Result<SnapshotFacts> {
    SnapshotFile::open(path)?.read(&mut |_| Ok(()), &mut |_, _| Ok(()), &|_, _| ())
}

#[test]
fn a_restored_bank_is_the_same_bank() {
    let (long, longest) = ("长".repeat(50_000), "x".repeat(1_000_000));
    let fixture = Fixture::new(&["a", &long, "c", &longest, &longest, "f"]);
    fixture.store.apply(&[Change::Remove { id: 0 }], 5, 2).unwrap();
    let taken = fixture.begin().unwrap().run(&|_, _| Ok(())).unwrap();
    assert_eq!((taken.counts.batch, taken.counts.questions, taken.counts.faqs), (7, 5, 2));
    assert_eq!((taken.facts.clone(), taken.bank.as_str()), (facts(), "b"));
    assert_eq!(check(&fixture.file()).unwrap(), taken);
    let expected = all(&fixture.store).unwrap();
    assert_eq!(fixture.restore("copy").unwrap(), expected);
    assert_eq!(fixture.banks.facts("copy").unwrap(), facts());
    assert_eq!(fixture.banks.counts("copy").unwrap().faqs, 2);
    let empty = Fixture::new(&[]);
    empty.taken();
    assert!(empty.restore("copy").unwrap().is_empty());
}

#[test]
fn a_snapshot_is_of_the_batch_at_which_it_began() {
    let texts: Vec<String> = (0..700).map(|n| format!("text {n}")).collect();
    let fixture = Fixture::new(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = all(&fixture.store).unwrap();
    let snapshot = fixture.begin().unwrap();
    // A second one has to wait.
    let second = fixture.store.begin_snapshot(fixture.store.live().unwrap(), &facts(), &fixture.file(), true);
    assert!(matches!(second.map(drop), Err(Error::Unavailable { .. })));
    let commits = |range: std::ops::Range<u32>| {
        for id in range {
            let changes = match id % 3 {
                0 => vec![Change::Rewrite { id, record: record(id, "another text") }],
                1 => vec![Change::Remove { id }, insert(id + 10_000, "another vector")],
                _ => vec![Change::Remove { id }],
            };
            fixture.store.apply(&changes, 1, 0).unwrap();
        }
    };
    commits(0..50);
    let late = std::sync::Mutex::new(Some(300..650));
    snapshot
        .run(&|_, _| {
            // Between two slices.
            if let Some(range) = late.lock().unwrap().take() {
                commits(range);
            }
            Ok(())
        })
        .unwrap();
    assert!(late.lock().unwrap().is_none());
    assert_eq!(fixture.restore("copy").unwrap(), expected);
    fs::remove_file(fixture.file()).unwrap();
    fixture.store.apply(&[], fixture.store.live().unwrap().len(), 0).unwrap();
    drop(fixture.begin().unwrap());
    assert!(!fixture.file().exists() && fixture.store.copying.lock().is_none(), "a snapshot that was given up");
}

#[test]
fn a_damaged_question_ends_the_snapshot_and_not_the_commit() {
    let fixture = Fixture::new(&["a", "b", "c"]);
    fixture.store.db.insert([b'v', 0, 0, 0, 1, 0], b"nonsense").unwrap();
    let failed = fixture.begin().unwrap().run(&|_, _| Ok(())).unwrap_err();
    assert!(failed.to_string().contains("vector 1"), "{failed}");
    let snapshot = fixture.begin().unwrap();
    fixture.store.apply(&[Change::Remove { id: 1 }], 2, 1).unwrap();
    let failed = snapshot.run(&|_, _| Ok(())).unwrap_err();
    assert!(failed.to_string().contains("vector 1"), "{failed}");
    assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 1, "no file is left");
    fixture.begin().unwrap().run(&|_, _| Ok(())).unwrap();
    assert_eq!(fixture.restore("copy").unwrap().len(), 2);
}

#[test]
fn every_flipped_byte_torn_end_and_trailing_byte_is_named() {
    let fixture = Fixture::new(&["怎么退款", "b"]);
    let (whole, path) = (fixture.taken(), fixture.file());
    let fault = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        check(&path).unwrap_err()
    };
    for at in 0..whole.len() {
        for bit in [0, 7] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let error = fault(&bytes);
            let named = error.to_string().contains("b.bank");
            assert!(named && matches!(error, Error::DataCorruption { .. } | Error::Invalid { .. }), "{at}: {error}");
            assert!(at < 16 || error.to_string().contains("byte "), "{at}: {error}");
        }
        let error = fault(&whole[..at]).to_string();
        assert!(at == 0 || error.contains(&format!("ends at byte {at}")), "{at}: {error}");
    }
    let error = fault(&[&whole[..], b"x"].concat()).to_string();
    assert!(error.contains(&format!("follows its end at byte {}", whole.len())), "{error}");
    fs::write(&path, &whole).unwrap();
    check(&path).unwrap();
}

#[test]
fn frames_keep_their_places_and_the_trailer_their_sum() {
    let large = "x".repeat(1_040_000);
    let fixture = Fixture::new(&[&large, &large, "c"]);
    let (whole, path) = (fixture.taken(), fixture.file());
    let mut frames = vec![&whole[..16]];
    let mut left = &whole[16..];
    while !left.is_empty() {
        let length = u32::from_le_bytes(left[5..9].try_into().unwrap()) as usize + HEAD + SUM;
        let (frame, rest) = left.split_at(length);
        frames.push(frame);
        left = rest;
    }
    let [start, header, first, second, trailer] = frames.as_slice() else { panic!("{} frames", frames.len()) };
    let foreign = {
        let mut content = second[HEAD..second.len() - SUM].to_vec();
        *content.last_mut().unwrap() ^= 1;
        let head = &second[..HEAD];
        [head, &content, &sum(head, &content).to_le_bytes()].concat()
    };
    for (order, fault) in [
        (vec![start, header, second, first, trailer], "does not start as it should"),
        (vec![start, header, first, trailer], "does not start as it should"),
        (vec![start, header, first, first, second, trailer], "does not start as it should"),
        (vec![start, header, first, &foreign.as_slice(), trailer], "another SHA-256"),
    ] {
        fs::write(&path, order.into_iter().copied().collect::<Vec<_>>().concat()).unwrap();
        let error = check(&path).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
}

#[test]
fn work_that_its_caller_ends_leaves_nothing() {
    let fixture = Fixture::new(&["a", "b"]);
    let end = |_, _| Err(Error::Cancelled { what: "the work".to_owned() });
    let ended = fixture.begin().unwrap().run(&end).unwrap_err();
    assert!(matches!(ended, Error::Cancelled { .. }), "{ended}");
    assert!(fixture.store.copying.lock().is_none());
    assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 1, "no file is left");
    fixture.taken();
    let file = SnapshotFile::open(&fixture.file()).unwrap();
    let ended = fixture.banks.restore(file, "copy", &mut |_| Ok(()), &end).unwrap_err();
    assert!(matches!(ended, Error::Cancelled { .. }), "{ended}");
    assert_eq!(fs::read_dir(fixture.banks.path("")).unwrap().count(), 1, "no draft is left");
}

#[test]
fn a_file_may_be_called_by_another_name() {
    let fixture = Fixture::new(&["a"]);
    let whole = fixture.taken();
    fs::write(fixture.file(), &whole[..whole.len() - 1]).unwrap();
    let read = |path: &Path| {
        SnapshotFile::open_as(&fixture.file(), path)?.read(&mut |_| Ok(()), &mut |_, _| Ok(()), &|_, _| ())
    };
    let torn = read(Path::new("the snapshot")).unwrap_err().to_string();
    assert!(torn.starts_with("the snapshot is damaged: it ends at byte"), "{torn}");
}

#[test]
fn a_restore_leaves_a_whole_bank_or_none() {
    let fixture = Fixture::new(&["a", "b"]);
    let (whole, path) = (fixture.taken(), fixture.file());
    assert!(matches!(fixture.restore("b"), Err(Error::AlreadyExists { .. })));
    let mut bytes = whole.clone();
    let at = bytes.len() - 60;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(fixture.restore("copy"), Err(Error::DataCorruption { .. })));
    fs::write(&path, &whole).unwrap();
    let refused = fixture.banks.restore(
        SnapshotFile::open(&path).unwrap(),
        "copy",
        &mut |stored| Err(Error::invalid("it", "more", &stored.record.text)),
        &|_, _| Ok(()),
    );
    assert!(refused.unwrap_err().to_string().contains("question `q0`: it: expected more"));
    assert_eq!(fixture.banks.names().unwrap(), ["b"]);
    assert_eq!(fs::read_dir(fixture.banks.path("")).unwrap().count(), 1, "no draft is left");
    assert_eq!(fixture.restore("copy").unwrap().len(), 2);
}

#[test]
fn what_is_no_snapshot_or_too_new_is_told_apart_from_damage() {
    let fixture = Fixture::new(&["a"]);
    let (mut whole, path) = (fixture.taken(), fixture.file());
    whole[12] = 7;
    fs::write(&path, &whole).unwrap();
    let error = check(&path).unwrap_err().to_string();
    assert!(error.contains("received 7; restore it with the version that wrote it"), "{error}");
    fs::write(&path, "id,question\n1,a\n").unwrap();
    let error = check(&path).unwrap_err().to_string();
    assert!(error.contains("expected a file that `simbert bank snapshot` wrote"), "{error}");
    assert!(matches!(check(&path.join("none")), Err(Error::Io { .. })));
    let error = fixture.begin().map(drop).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { kind: "file", .. }), "{error}");
}
