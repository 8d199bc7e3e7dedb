use std::fs;
use std::path::Path;

use super::*;
use crate::{Error, Result};

fn facts() -> BankFacts {
    BankFacts {
        format: FORMAT,
        model_fingerprint: "f00d".to_owned(),
        dimension: 3,
        description: "test".to_owned(),
        quantisation: "int8".to_owned(),
    }
}

fn record(text: &str) -> Record {
    Record { id: format!("id {text}"), text: text.to_owned(), ..Record::default() }
}

fn insert(id: u32, text: &str) -> Change {
    Change::Insert { id, record: record(text), vector: vec![id as f32, 0.5, -1.0] }
}

fn open(banks: &Banks) -> Result<Store> {
    Store::open(banks, "b", "f00d").map(|(store, _)| store)
}

fn all(store: &Store) -> Result<Vec<Stored>> {
    let mut all = Vec::new();
    let found = store.verify(&mut |stored| {
        all.push(stored);
        Ok(())
    })?;
    store.whole(&found)?;
    store.load(&mut |_, _| Ok(()), &mut |_, _| Ok(()))?;
    Ok(all)
}

fn made(folder: &Path) -> Banks {
    let banks = Banks::open(folder).unwrap();
    banks.create("b", &facts()).unwrap();
    banks
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let banks = made(folder.path());
    let store = open(&banks).unwrap();
    store.apply(&[insert(0, "a"), insert(1, "b"), insert(2, "c")], 3, 0).unwrap();
    let long = "长".repeat(10_000);
    store.apply(&[Change::Rewrite { id: 1, record: record(&long) }, Change::Remove { id: 0 }], 2, 0).unwrap();
    store.make_durable().unwrap();
    assert_eq!(store.record(0).unwrap(), None);
    drop(store);
    let store = open(&banks).unwrap();
    let found = all(&store).unwrap();
    assert_eq!(found.iter().map(|s| s.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(found[0], Stored { id: 1, record: record(&long), vector: vec![1.0, 0.5, -1.0] });
    store.apply(&[Change::Rewrite { id: 1, record: record("short") }], 2, 0).unwrap();
    assert_eq!(store.record(1).unwrap().unwrap().text, "short");
    assert_eq!(all(&store).unwrap().len(), 2, "no part of the long record is left");
    assert_eq!(banks.counts("b").unwrap(), Counts { batch: 2, questions: 2, faqs: 0 });
}

#[test]
fn a_bank_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let banks = made(folder.path());
    assert!(matches!(banks.create("b", &facts()), Err(Error::AlreadyExists { .. })));
    assert!(matches!(Store::open(&banks, "none", "f00d"), Err(Error::NotFound { .. })));
    assert!(matches!(Store::open(&banks, "b", "beef"), Err(Error::ModelMismatch { .. })));
    let store = open(&banks).unwrap();
    let refused = open(&banks).map(|_| ()).unwrap_err();
    assert!(matches!(&refused, Error::Unavailable { what, .. } if what == "bank `b`"), "{refused}");
    assert!(matches!(banks.delete("b", false), Err(Error::Unavailable { .. })));
    drop(store);
    let path = banks.path("b").join("bank.json");
    let json = fs::read_to_string(&path).unwrap();
    fs::write(&path, json.replace("\"format\": 2", "\"format\": 7")).unwrap();
    assert!(open(&banks).map(|_| ()).unwrap_err().to_string().contains("received 7"));
}

#[test]
fn a_lost_batch_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let banks = made(folder.path());
    let store = open(&banks).unwrap();
    store.apply(&[insert(0, "a")], 1, 0).unwrap();
    store.make_durable().unwrap();
    drop(store);
    let copy = folder.path().join("copy");
    fs::copy(banks.path("b").join("db"), &copy).unwrap();
    let store = open(&banks).unwrap();
    store.apply(&[insert(1, "b")], 2, 0).unwrap();
    store.make_durable().unwrap();
    drop(store);
    for entry in fs::read_dir(banks.path("b")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::copy(&copy, banks.path("b").join("db")).unwrap();
    let lost = open(&banks).map(|_| ()).unwrap_err();
    assert!(lost.to_string().contains("batch 2 was acknowledged"), "{lost}");
}

#[test]
fn a_flipped_byte_of_a_vector_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let banks = made(folder.path());
    let store = open(&banks).unwrap();
    let vector = vec![0.125f32, 0.25, 0.375];
    store.apply(&[Change::Insert { id: 0, record: record("a"), vector: vector.clone() }], 1, 0).unwrap();
    store.make_durable().unwrap();
    drop(store);
    let path = banks.path("b").join("db");
    let whole = fs::read(&path).unwrap();
    let pattern: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let places: Vec<usize> = (0..whole.len() - pattern.len()).filter(|&i| whole[i..].starts_with(&pattern)).collect();
    assert!(!places.is_empty());
    let mut damaged = whole.clone();
    places.iter().for_each(|&place| damaged[place + 5] ^= 0x40);
    fs::write(&path, &damaged).unwrap();
    let served = open(&banks).and_then(|store| all(&store));
    assert!(matches!(served, Err(Error::DataCorruption { .. })), "{served:?}");
}

#[test]
fn sizes_are_checked_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&made(folder.path())).unwrap();
    let huge = insert(1, &"x".repeat(2 << 20));
    assert!(matches!(store.apply(&[insert(0, "a"), huge], 2, 0), Err(Error::Invalid { .. })));
    let narrow = Change::Insert { id: 0, record: record("a"), vector: vec![1.0] };
    assert!(matches!(store.apply(&[narrow], 1, 0), Err(Error::Invalid { .. })));
    assert!(all(&store).unwrap().is_empty());
}

#[test]
fn litter_is_no_bank_and_is_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    let banks = made(folder.path());
    let litter = banks.path(".new-half-1-0");
    fs::create_dir(&litter).unwrap();
    fs::write(litter.join("bank.json"), "{}").unwrap();
    fs::create_dir(banks.path("foreign")).unwrap();
    assert_eq!(banks.names().unwrap(), ["b"]);
    let banks = Banks::open(folder.path()).unwrap();
    assert!(!litter.exists());
    fs::write(banks.path("b").join("snap.00.generating"), "half").unwrap();
    drop(open(&banks).unwrap());
    assert!(!banks.path("b").join("snap.00.generating").exists());
    banks.delete("b", false).unwrap();
    assert!(banks.names().unwrap().is_empty());
    assert!(matches!(banks.delete("b", false), Err(Error::NotFound { .. })));
}

/// A small file system in memory, where this process may mount one; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(folder.path())
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("passed over: this process may not mount a file system");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_fills_up_under_sled_fails_the_write_and_keeps_the_acknowledged_ones() {
    let Some(disk) = SmallDisk::new() else { return };
    let banks = made(disk.0.path());
    let mut store = open(&banks).unwrap();
    store.reserve = 0; // as if the room had been used up after the check
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 12 << 20]).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let text = "x".repeat(20_000);
        for id in 0.. {
            let written = store.apply(&[insert(id, &text)], u64::from(id) + 1, 0).and_then(|()| store.make_durable());
            let ended = written.is_err();
            sender.send(written).unwrap();
            if ended {
                break;
            }
        }
        let again = store.apply(&[insert(u32::MAX, "later")], 1, 0);
        sender.send(again).unwrap();
    });
    let next = || receiver.recv_timeout(std::time::Duration::from_secs(60)).expect("a write on a full disk returns");
    let mut acknowledged = 0;
    while next().is_ok() {
        acknowledged += 1;
    }
    let refused = next().unwrap_err().to_string();
    assert!(refused.contains("an earlier write to it failed; check the disk"), "{refused}");
    writer.join().unwrap();
    fs::remove_file(ballast).unwrap();
    let mut store = open(&banks).unwrap();
    store.reserve = 0; // the disk is smaller than that
    let found = all(&store).unwrap().len() as u64;
    assert!(acknowledged > 0 && (acknowledged..=acknowledged + 1).contains(&found), "{found} of {acknowledged}");
    store.apply(&[insert(u32::MAX, "later")], found + 1, 0).unwrap();
    store.make_durable().unwrap();
}
