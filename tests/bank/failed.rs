//! A disk that fills up amid a write, and the write after it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;
use simbert::Error;
use simbert::engine::SearchRequest;

use super::small_disk::SmallDisk;
use super::*;

const BATCH: u64 = 100;

/// Also when an assertion fails, or its thread would be waited for.
struct SetAtTheEnd<'a>(&'a AtomicBool);

impl Drop for SetAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A batch that takes long to write: 25 MiB.
fn large(n: u64) -> Vec<Question> {
    let answer = |i: u64| Some(format!("{i}").repeat((256 << 10) / format!("{i}").len()));
    (0..BATCH).map(|i| Question { answer: answer(i), ..question(format!("{n}-{i}"), &wording(i)) }).collect()
}

/// Takes all room of the disk, once the bank's log grows.
fn fill_amid_the_write(log: &Path, ballast: &Path, written: &AtomicBool) {
    let blocks = || fs::metadata(log).unwrap().blocks();
    let before = blocks();
    while blocks() < before + (2 << 20) / 512 {
        if written.load(Ordering::Relaxed) {
            return;
        }
        std::thread::yield_now();
    }
    while !written.load(Ordering::Relaxed) {
        fill(ballast);
    }
}

/// Takes what room the disk of `ballast` has left.
fn fill(ballast: &Path) {
    let file = OpenOptions::new().append(true).create(true).open(ballast).unwrap();
    let found = rustix::fs::statvfs(ballast).unwrap();
    let (length, mut left) = (file.metadata().unwrap().len(), found.f_bavail * found.f_frsize);
    while left > 0 && rustix::fs::fallocate(&file, FallocateFlags::empty(), length, left).is_err() {
        left /= 2;
    }
}

/// Removes `ballast`, and waits until its room is there: some file systems free it only with their next commit.
fn empty(ballast: &Path) {
    let size = fs::metadata(ballast).unwrap().len();
    fs::remove_file(ballast).unwrap();
    let room = || rustix::fs::statvfs(ballast.parent().unwrap()).map(|found| found.f_bavail * found.f_frsize).unwrap();
    let started = Instant::now();
    while room() < size / 2 {
        assert!(started.elapsed() < Duration::from_secs(60), "{} bytes of {size} came free", room());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Writes until a write fails: the disk must fill up between the look at its room and the end of the write. Returns how
/// many batches were acknowledged, and the error.
fn fail_a_write(bank: &Bank, disk: &SmallDisk, ballast: &Path) -> (u64, Error) {
    for n in 0..10 {
        let written = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| fill_amid_the_write(&disk.path().join("banks/faq/db"), ballast, &written));
            let outcome = bank.upsert(large(n));
            written.store(true, Ordering::Relaxed);
            outcome
        });
        match outcome {
            Ok(_) if ballast.exists() => empty(ballast),
            Ok(_) => {}
            Err(error) => return (n, error),
        }
    }
    panic!("no write failed");
}

#[test]
fn after_a_write_that_failed_the_next_one_opens_the_bank_anew() {
    let Some(disk) = SmallDisk::new(1024) else { return };
    let engine = engine(disk.path());
    let bank = created(&engine);
    bank.upsert((0..300).map(|i| question(i, &wording(i))).collect()).unwrap();
    let ballast = disk.path().join("ballast");
    let ended = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let end = SetAtTheEnd(&ended);
        // Searches see nothing of it all, or sled's fault: what it lost from memory before it could write it cannot be
        // read until the bank is opened anew.
        let searches = scope.spawn(|| {
            let mut searched = 0;
            while !ended.load(Ordering::Relaxed) {
                match bank.search(&SearchRequest::text(wording(7), 3)) {
                    Ok(found) => assert_eq!(found.hits.len(), 3),
                    Err(error) => assert!(matches!(error, Error::Store { .. }), "{error}"),
                }
                searched += 1;
            }
            searched
        });
        let (acknowledged, failed) = fail_a_write(&bank, &disk, &ballast);
        println!("after {acknowledged} batches: {failed}");
        assert!(matches!(failed, Error::Store { .. } | Error::Io { .. }), "{failed}");
        fill(&ballast);
        // As long as the disk is full the bank stays as it is, and says why.
        let full = bank.upsert(vec![question("new", "怎么退款")]).unwrap_err();
        assert!(matches!(full, Error::DiskFull { .. }), "{full}");
        empty(&ballast);
        assert_eq!(bank.upsert(vec![question("new", "怎么退款")]).unwrap().inserted, 1);
        assert_eq!(bank.search(&SearchRequest::text(wording(7), 3)).unwrap().hits.len(), 3);
        drop(end);
        assert!(searches.join().unwrap() > 0);
        acknowledged
    });
    let check = |bank: &Bank| {
        let expected: Vec<Question> = (0..300)
            .map(|i| question(i, &wording(i)))
            .chain((0..acknowledged).flat_map(large))
            .chain([question("new", "怎么退款")])
            .collect();
        let ids: Vec<_> = expected.iter().map(|question| question.id.clone()).collect();
        let found: Vec<_> = bank.get(&ids).unwrap().into_iter().flatten().collect();
        assert!(found == expected, "{} of {}", found.len(), expected.len());
        // The batch that failed was not acknowledged: it is there as a whole, or not at all.
        let more = bank.verify(&|_, _| ()).unwrap() - expected.len() as u64;
        let ids: Vec<_> = large(acknowledged).into_iter().map(|question| question.id).collect();
        let half = bank.get(&ids).unwrap().into_iter().flatten().count() as u64;
        assert!(more == half && [0, BATCH].contains(&half), "{more} more, {half} of them of the batch that failed");
        assert_eq!(bank.search(&SearchRequest::text("怎么退款", 1)).unwrap().hits[0].question.id, id("new"));
    };
    check(&bank);
    check(&engine.bank(&name()).unwrap());
    drop((bank, engine));
    check(&super::engine(disk.path()).bank(&name()).unwrap());
}
