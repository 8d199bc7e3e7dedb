//! A bank that a program of the first format wrote: `format-1/` is one of 40 bundled questions, as it lay on the disk.

use std::fs;
use std::path::Path;

use simbert::engine::BankFiles;
use simbert::index::HnswSettings;

use super::*;

fn copied(data: &Path) -> serde_json::Value {
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bank/format-1"), data.join("banks/faq"));
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    facts(data)
}

fn facts(data: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(data.join("banks/faq/bank.json")).unwrap()).unwrap()
}

/// Ids and texts of all questions.
fn exported(data: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut each = |question: Question| {
        all.push((question.id.to_string(), question.text));
        Ok(())
    };
    BankFiles::open(data, &name()).unwrap().export(None, &mut each, &|_, _| ()).unwrap();
    all
}

#[test]
fn a_bank_of_the_first_format_is_opened_and_gets_the_newest() {
    let data = tempfile::tempdir().unwrap();
    let before = copied(data.path());
    assert_eq!(before["format"], 1);
    let questions = exported(data.path());
    assert_eq!(questions.len(), 40);
    assert_eq!(questions[0], ("bank-001".to_owned(), "银行卡丢了怎么挂失".to_owned()));
    assert_eq!(facts(data.path())["format"], 2);
    let fingerprint = before["model_fingerprint"].as_str().unwrap();
    let engine = Engine::without_model(data.path(), fingerprint, 384).unwrap();
    let bank = engine.bank(&name()).unwrap();
    assert_eq!(bank.status().unwrap().settings.description, "written by format 1");
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), 40);
    drop((bank, engine));
    let eager = HnswSettings { freeze_from: 20, ..HnswSettings::default() };
    let engine = Engine::without_model(data.path(), fingerprint, 384).unwrap().with_graphs(eager);
    let bank = engine.bank(&name()).unwrap();
    bank.link_now(&|_, _| ()).unwrap();
    assert_eq!(bank.status().unwrap().questions_in_graph, 40);
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), 40);
    drop((bank, engine));
    assert_eq!(exported(data.path()), questions);
}
