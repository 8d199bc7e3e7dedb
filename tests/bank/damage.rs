//! Banks whose files are not what was written: they are refused with what is damaged and the ways out, and what is
//! whole can be saved.

use std::fs;
use std::path::Path;

use simbert::Error;
use simbert::engine::BankFiles;

use super::*;

/// A closed bank of 40 questions in eight batches.
fn closed(data: &Path) {
    let bank = created(&engine(data));
    for batch in 0..8u64 {
        bank.upsert((batch * 5..batch * 5 + 5).map(|i| question(format!("q{i:02}"), &wording(i))).collect()).unwrap();
    }
}

fn folder(data: &Path) -> std::path::PathBuf {
    data.join("banks/faq")
}

/// The first part of the record (`r`) or vector (`v`) under an internal id.
fn part(kind: u8, internal: u8) -> [u8; 6] {
    [kind, 0, 0, 0, internal, 0]
}

#[test]
fn each_damaged_question_is_named_and_none_is_served() {
    let data = tempfile::tempdir().unwrap();
    closed(data.path());
    let db = sled::open(folder(data.path())).unwrap();
    let vector = db.get(part(b'v', 30)).unwrap().unwrap();
    db.insert(part(b'v', 3), vector).unwrap(); // intact, but another's
    db.insert(part(b'r', 7), b"nonsense").unwrap();
    db.remove(part(b'v', 9)).unwrap();
    db.remove(part(b'r', 21)).unwrap();
    db.flush().unwrap();
    drop(db);

    let refused = engine(data.path()).bank(&name()).map(drop).unwrap_err();
    assert!(matches!(refused, Error::DataCorruption { .. }), "{refused}");
    let refused = refused.to_string();
    for part in [
        "banks/faq is damaged: 4 of 40 questions: question `q03`: the checksum of vector 3",
        "internal id 7: the checksum of record 7",
        "question `q09`: its vector is missing",
        "internal id 21: its record is missing",
        "`simbert bank verify faq`",
        "`simbert bank restore`",
        "`simbert bank export faq --skip-damaged`",
    ] {
        assert!(refused.contains(part), "`{refused}` should say `{part}`");
    }

    let files = BankFiles::open(data.path(), &name()).unwrap();
    let found = files.verify(&|_, _| ()).unwrap();
    assert_eq!((found.whole, found.expected), (36, 40));
    let named: Vec<_> = found.damaged.iter().map(|damage| (damage.internal, damage.question.as_deref())).collect();
    assert_eq!(named, [(3, Some("q03")), (7, None), (9, Some("q09")), (21, None)]);

    // A record is whole beside a damaged vector: indexing encodes it again.
    let refused = files.export(None, &mut |_| Ok(()), &|_, _| ()).unwrap_err();
    assert!(refused.to_string().contains("internal id 7"), "{refused}");
    let (mut saved, mut skipped) = (Vec::new(), Vec::new());
    let mut skip = |damage| skipped.push(damage);
    let mut save = |question| {
        saved.push(question);
        Ok(())
    };
    assert_eq!(files.export(Some(&mut skip), &mut save, &|_, _| ()).unwrap(), 38);
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert!(saved.is_sorted_by_key(|question| question.id.clone()) && saved[3].id == id("q03"));
    assert!(matches!(files.snapshot(&data.path().join("b"), false, &|_, _| ()), Err(Error::DataCorruption { .. })));
}

/// Copies the files of a closed bank.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Opens a bank whose files were tampered with: it is refused with an error that says damage, or it has all.
fn refused_or_whole(data: &Path, what: &str) -> bool {
    match engine(data).bank(&name()) {
        Ok(bank) => {
            assert_eq!(bank.list(None, 100).unwrap().len(), 40, "{what}");
            assert_eq!(bank.verify(&|_, _| ()).unwrap(), 40, "{what}");
            false
        }
        Err(error) => {
            assert!(matches!(error, Error::DataCorruption { .. } | Error::Store { .. }), "{what}: {error}");
            assert!(error.to_string().contains("banks/faq") || matches!(error, Error::Store { .. }), "{what}: {error}");
            true
        }
    }
}

#[test]
fn a_torn_log_is_refused_or_whole() {
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(data.path());
    let whole = fs::read(folder(data.path()).join("db")).unwrap();
    // sled writes zeros behind its last message.
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut refused = 0;
    for length in [0, 1, 100, 8192, used / 3, used / 2, used - 1000, used - 1, used, whole.len()] {
        for with_page_table in [true, false] {
            copy(data.path(), work.path());
            let folder = folder(work.path());
            fs::write(folder.join("db"), &whole[..length.min(whole.len())]).unwrap();
            if !with_page_table {
                for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                    if entry.file_name().to_string_lossy().starts_with("snap.") {
                        fs::remove_file(entry.path()).unwrap();
                    }
                }
            }
            let what = format!("{length} of {} bytes, page table {with_page_table}", whole.len());
            refused += u32::from(refused_or_whole(work.path(), &what));
        }
    }
    assert!(refused >= 10, "{refused} refused");
}

#[test]
fn a_flipped_byte_of_the_log_is_refused_or_harmless() {
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(data.path());
    let whole = fs::read(folder(data.path()).join("db")).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut refused = 0;
    for at in (0..used).step_by(used / 23) {
        copy(data.path(), work.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(folder(work.path()).join("db"), bytes).unwrap();
        refused += u32::from(refused_or_whole(work.path(), &format!("byte {at}")));
    }
    assert!(refused > 0);
}
