use super::super::folder::BankFacts;
use super::super::{Banks, Change, FORMAT, Record};
use super::*;

const WIDTH: usize = 3;

struct Fixture {
    _folder: tempfile::TempDir,
    banks: Banks,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let banks = Banks::open(folder.path()).unwrap();
        let facts = BankFacts {
            format: FORMAT,
            model_fingerprint: "f00d".to_owned(),
            dimension: WIDTH,
            description: String::new(),
            quantisation: String::new(),
        };
        banks.create("b", &facts).unwrap();
        Self { _folder: folder, banks }
    }

    fn open(&self) -> Store {
        Store::open(&self.banks, "b", "f00d").unwrap().0
    }

    /// Names of all files of segments.
    fn files(&self) -> Vec<String> {
        let folder = fs::read_dir(self.banks.path("b").join("segments")).unwrap();
        let mut names: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn vector(id: u32) -> Vec<f32> {
    vec![id as f32, 0.5, -1.0]
}

fn inserts(ids: std::ops::Range<u32>) -> Vec<Change> {
    let record = |id| Record { id: format!("q{id}"), text: format!("text {id}"), ..Record::default() };
    ids.map(|id| Change::Insert { id, record: record(id), vector: vector(id) }).collect()
}

fn apply(store: &Store, changes: &[Change], questions: u64) {
    store.apply(changes, questions, 0).unwrap();
    store.make_durable().unwrap();
}

/// Keeps the vectors of `ids` as one file.
fn keep(store: &Store, ids: &[u32], dead: &[u32]) -> Result<Arc<SegmentFile>> {
    let vectors: Vec<_> = ids.iter().map(|&id| vector(id)).collect();
    let rows = Box::new(vectors.iter().map(Vec::as_slice));
    let derived = [(40, &b"a graph"[..])];
    store.keep(SegmentParts { ids, vectors: rows, derived: &derived }, &dead.iter().copied().collect())
}

fn in_sled(store: &Store) -> Vec<u32> {
    parts::ids(&store.db, &store.path, Kind::Vector).unwrap().iter().collect()
}

fn check(store: &Store, ids: &[u32]) {
    for &id in ids {
        assert_eq!(store.vector(id).unwrap(), Some(vector(id)), "{id}");
    }
    let found = store.verify(&mut |stored| {
        assert_eq!(stored.vector, vector(stored.id));
        Ok(())
    });
    assert_eq!(store.whole(&found.unwrap()).unwrap(), ids.len() as u64);
    let (mut records, mut waiting) = (Vec::new(), Vec::new());
    let mut record = |id, _| {
        records.push(id);
        Ok(())
    };
    let mut wait = |id, found| {
        assert_eq!(found, vector(id));
        waiting.push(id);
        Ok(())
    };
    store.load(&mut record, &mut wait).unwrap();
    assert_eq!(records, ids);
    assert_eq!(waiting, in_sled(store));
}

#[test]
fn vectors_move_from_sled_into_files_and_on() {
    let fixture = Fixture::new();
    let store = fixture.open();
    apply(&store, &inserts(0..20), 20);
    apply(&store, &inserts(20..320), 320); // many: a file at once
    assert_eq!((in_sled(&store).len(), fixture.files()), (20, vec!["0.seg".to_owned()]));
    let ids: Vec<u32> = (0..320).collect();
    check(&store, &ids);
    keep(&store, &ids[..20], &[]).unwrap();
    assert_eq!((in_sled(&store).len(), fixture.files().len()), (0, 2));
    check(&store, &ids);
    drop(store);
    let store = fixture.open();
    check(&store, &ids);
    // A file goes once all of its vectors are in another, or dead; not before.
    let removed: Vec<Change> = (20..30).map(|id| Change::Remove { id }).collect();
    apply(&store, &removed, 310);
    keep(&store, &ids[31..], &ids[20..30]).unwrap();
    assert_eq!(fixture.files().len(), 3, "30 is in the first file only");
    keep(&store, &ids[30..], &ids[20..30]).unwrap();
    assert_eq!(fixture.files(), ["1.seg", "3.seg"]);
    let left: Vec<u32> = (0..20).chain(30..320).collect();
    check(&store, &left);
    assert_eq!(store.segments()[0].derived(40).unwrap(), Some(&b"a graph"[..]));
    let removed: Vec<Change> = (0..20).map(|id| Change::Remove { id }).collect();
    apply(&store, &removed, 290);
    store.forget(&(0..19).collect()).unwrap();
    assert_eq!(fixture.files().len(), 2);
    store.forget(&(0..20).collect()).unwrap();
    assert_eq!(fixture.files(), ["3.seg"]);
    drop(store);
    check(&fixture.open(), &left[20..]);
}

#[test]
fn what_a_crash_left_is_cleared_away() {
    let fixture = Fixture::new();
    let store = fixture.open();
    apply(&store, &inserts(0..5), 5);
    let ids: Vec<u32> = (0..5).collect();
    let file = keep(&store, &ids, &[]).unwrap();
    // As after a crash between the manifest and the removal from sled, and before a manifest.
    let mut batch = Batch::default();
    parts::put(&mut batch, Kind::Vector, 3, bytemuck::cast_slice(&vector(3)));
    store.db.apply_batch(batch).unwrap();
    let folder = file.path().parent().unwrap();
    fs::copy(file.path(), folder.join("7.seg")).unwrap();
    fs::write(folder.join("8.seg.part"), "half").unwrap();
    drop(store);
    let store = fixture.open();
    assert_eq!(fixture.files(), ["0.seg"]);
    assert_eq!(in_sled(&store), [3]);
    store.load(&mut |_, _| Ok(()), &mut |_, _| panic!("all are in a file")).unwrap();
    assert_eq!(in_sled(&store), [0; 0]);
    check(&store, &ids);
    assert_eq!(keep(&store, &ids, &[]).unwrap().number(), 8, "a number that was used is not given again");
}

#[test]
fn a_refused_batch_leaves_no_file() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let mut changes = inserts(0..300);
    if let Change::Insert { record, .. } = &mut changes[299] {
        record.text = "x".repeat(2 << 20);
    }
    assert!(store.apply(&changes, 300, 0).is_err());
    assert!(fixture.files().is_empty() && store.segments().is_empty());
    store.retire();
    assert!(matches!(keep(&store, &[1], &[]), Err(Error::Unavailable { .. })));
    assert!(matches!(store.forget(&RoaringBitmap::new()), Err(Error::Unavailable { .. })));
}

#[test]
fn a_file_that_is_damaged_or_another_is_named_with_each_question() {
    let fixture = Fixture::new();
    let store = fixture.open();
    apply(&store, &inserts(0..4), 4);
    let file = keep(&store, &[0, 1, 2, 3], &[]).unwrap();
    let path = file.path().to_owned();
    drop((store, file));
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], said: &[&str]| {
        fs::write(&path, bytes).unwrap();
        let store = fixture.open();
        let found = store.verify(&mut |_| Ok(())).unwrap();
        let error = store.whole(&found).unwrap_err().to_string();
        for part in said {
            assert!(error.contains(part), "`{error}` should say `{part}`");
        }
        store.load(&mut |_, _| Ok(()), &mut |_, _| Ok(()))
    };
    let cut = refused(
        &whole[..whole.len() - 9],
        &["4 of 4", "question `q2`: its vector is missing, as is segment 0: it is cut short"],
    );
    assert!(matches!(cut, Err(Error::DataCorruption { .. })));
    let mut flipped = whole.clone();
    flipped[8192 + 64 + 1] ^= 1; // ids, then vectors, each from a page on
    let opened = refused(&flipped, &["1 of 4 questions: question `q1`: the checksum of vector 1 in 0.seg is wrong"]);
    opened.unwrap(); // found when it is used
    // Its graph is no loss.
    let mut bytes = whole.clone();
    let at = whole.windows(7).position(|bytes| bytes == b"a graph").unwrap();
    bytes[at] = b'b';
    fs::write(&path, &bytes).unwrap();
    let store = fixture.open();
    let found = store.verify(&mut |_| Ok(())).unwrap();
    assert_eq!((found.is_whole(), found.graphs.len()), (true, 1), "{:?}", found.graphs);
    assert!(store.segments()[0].derived(40).is_err());
}

#[test]
fn a_bank_of_the_first_format_gets_the_newest() {
    let fixture = Fixture::new();
    let store = fixture.open();
    apply(&store, &inserts(0..20), 20); // all in sled, as the first format had it
    drop(store);
    let folder = fixture.banks.path("b");
    fs::remove_dir(folder.join("segments")).unwrap();
    let json = fs::read_to_string(folder.join("bank.json")).unwrap();
    fs::write(folder.join("bank.json"), json.replace("\"format\": 2", "\"format\": 1")).unwrap();
    assert_eq!(fixture.banks.facts("b").unwrap().format, 1);
    let store = fixture.open();
    assert_eq!(fixture.banks.facts("b").unwrap().format, FORMAT);
    let ids: Vec<u32> = (0..20).collect();
    check(&store, &ids);
    keep(&store, &ids, &[]).unwrap();
    check(&store, &ids);
}
