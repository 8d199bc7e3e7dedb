//! A disk that is full, and one that cannot be written. Passed over where no file system can be mounted.

use std::fs;

use super::small_disk::SmallDisk;
use super::*;
use simbert::Error;
use simbert::engine::SearchRequest;

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let Some(disk) = SmallDisk::new(96) else { return };
    let engine = engine(disk.path());
    let bank = created(&engine);
    let batch = |n: u64| (n * 100..n * 100 + 100).map(|i| question(i, &wording(i))).collect::<Vec<_>>();
    bank.upsert(batch(0)).unwrap();
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 50 << 20]).unwrap();
    let mut written = 1;
    let refused = loop {
        match bank.upsert(batch(written)) {
            Ok(_) => written += 1,
            Err(refused) => break refused,
        }
        assert!(written < 1000, "the disk is never full");
    };
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    let sentence = refused.to_string();
    assert!(sentence.starts_with("the disk under ") && sentence.contains("make room"), "{sentence}");
    // What was acknowledged is there, what was refused is not, and both are so after reopening on the full disk.
    let check = |bank: &Bank| {
        assert_eq!(bank.verify(&|_, _| ()).unwrap(), written * 100);
        assert_eq!(bank.get(&[id(written * 100)]).unwrap(), [None]);
        assert_eq!(bank.search(&SearchRequest::text(wording(7), 3)).unwrap().hits.len(), 3);
    };
    check(&bank);
    let (half, more) = (disk.path().join("half.bank"), disk.path().join("more"));
    let free = rustix::fs::statvfs(disk.path()).unwrap();
    let left = free.f_bavail * free.f_frsize - (2 << 20); // sled's threads may have written meanwhile
    fs::write(&more, vec![1; left as usize]).unwrap();
    assert!(matches!(bank.delete(&[id(1)]), Err(Error::DiskFull { .. })));
    let failed = bank.snapshot(&half, false, &|_, _| ()).unwrap_err().to_string();
    assert!(failed.contains("cannot write the snapshot"), "{failed}");
    assert!(!half.exists() && !disk.path().join("half.bank.part").exists());
    drop((bank, engine));
    fs::remove_file(more).unwrap();
    let engine = super::engine(disk.path());
    let bank = engine.bank(&name()).unwrap();
    check(&bank);
    // With room again, the open bank works.
    fs::remove_file(ballast).unwrap();
    bank.upsert(batch(written)).unwrap();
    assert_eq!(bank.delete(&[id(1)]).unwrap(), 1);
    bank.snapshot(&half, false, &|_, _| ()).unwrap();
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), written * 100 + 99);
}

#[test]
fn a_full_disk_makes_no_segment_until_there_is_room() {
    let Some(disk) = SmallDisk::new(96) else { return };
    let bank = created(&engine(disk.path()).without_graphs());
    let questions = |range: std::ops::Range<u64>| range.map(|i| question(i, &wording(i))).collect::<Vec<_>>();
    for first in (0..2100).step_by(100) {
        bank.upsert(questions(first..first + 100)).unwrap();
    }
    let ballast = disk.path().join("ballast");
    let free = rustix::fs::statvfs(disk.path()).unwrap();
    let left = free.f_bavail * free.f_frsize - (32 << 20);
    fs::write(&ballast, vec![1; left as usize]).unwrap();
    let segments = || fs::read_dir(disk.path().join("banks/faq/segments")).unwrap().count();
    bank.link_now(&|_, _| ()).unwrap();
    assert_eq!((bank.status().unwrap().questions_in_graph, segments()), (0, 0), "it says why in its log");
    let refused = bank.upsert(questions(3000..3400)).unwrap_err();
    assert!(matches!(refused, Error::DiskFull { .. }), "{refused}");
    assert_eq!(segments(), 0);
    assert_eq!(bank.search(&SearchRequest::text(wording(7), 3)).unwrap().hits.len(), 3);
    fs::remove_file(ballast).unwrap();
    bank.link_now(&|_, _| ()).unwrap();
    bank.upsert(questions(3000..3400)).unwrap();
    assert_eq!((bank.status().unwrap().questions, segments()), (2500, 2));
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), 2500);
}

#[test]
fn a_disk_that_cannot_be_written_is_a_sentence() {
    let Some(disk) = SmallDisk::new(64) else { return };
    {
        let bank = created(&engine(disk.path()));
        bank.upsert(vec![question(1, "怎么退款")]).unwrap();
    }
    disk.remount("ro");
    let refused = engine(disk.path()).bank(&name()).map(drop).unwrap_err().to_string();
    assert!(refused.contains("banks/faq/lock: cannot open the bank's lock: Read-only"), "{refused}");
    let other = tempfile::tempdir().unwrap();
    let bank = created(&engine(other.path()));
    let refused = bank.snapshot(&disk.path().join("faq.bank"), false, &|_, _| ()).unwrap_err().to_string();
    assert!(refused.contains("faq.bank.part: cannot make the file: Read-only"), "{refused}");
    assert!(
        Engine::with_encoder(&disk.path().join("new"), std::sync::Arc::new(encoder::LetterPairs::new("a"))).is_err()
    );
    disk.remount("rw");
    assert_eq!(engine(disk.path()).bank(&name()).unwrap().verify(&|_, _| ()).unwrap(), 1);
}
