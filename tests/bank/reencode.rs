//! A bank of another model, encoded anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use simbert::Error;
use simbert::engine::{Quantisation, SearchRequest, SentenceEncoder, Timings};

use super::encoder::{LetterPairs, WIDTH};
use super::*;

/// Letters and pairs of letters, backwards; it gives up after so many texts.
struct Backwards {
    until: usize,
    encoded: LetterPairs,
}

impl SentenceEncoder for Backwards {
    fn encode(&self, texts: &[String]) -> simbert::Result<(Vec<Vec<f32>>, Timings)> {
        let texts: Vec<String> = texts.iter().map(|text| text.chars().rev().collect()).collect();
        if self.encoded.encoded.load(Ordering::Relaxed) + texts.len() > self.until {
            return Err(Error::Runtime { action: "encode".to_owned(), message: "no more".to_owned() });
        }
        self.encoded.encode(&texts)
    }
    fn dimension(&self) -> usize {
        WIDTH
    }
    fn fingerprint(&self) -> &str {
        "backwards"
    }
}

fn backwards(data: &Path, until: usize) -> Engine {
    let encoder = Backwards { until, encoded: LetterPairs::new("backwards") };
    Engine::with_encoder(data, Arc::new(encoder)).unwrap()
}

/// A bank of 1,200 questions of 7 FAQs; 100 more were deleted.
fn made(data: &Path) -> Vec<Question> {
    let bank = engine(data)
        .create_bank(&name(), BankSettings { description: "mine".to_owned(), quantisation: Quantisation::F16 })
        .unwrap();
    let with_faq = |i: u64| Question { faq_id: Some((i % 7).to_string()), ..question(i, &wording(i)) };
    bank.upsert((0..1300).map(with_faq).collect()).unwrap();
    bank.delete(&(0..100).map(id).collect::<Vec<_>>()).unwrap();
    bank.list(None, usize::MAX).unwrap()
}

fn entries(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("banks")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// That the bank is one of the model `backwards`, with these questions.
fn check(engine: &Engine, name: &BankName, questions: &[Question]) {
    let bank = engine.bank(name).unwrap();
    assert!(bank.list(None, usize::MAX).unwrap() == questions);
    let status = bank.status().unwrap();
    assert_eq!((status.questions, status.faqs, status.model_fingerprint.as_str()), (1200, 7, "backwards"));
    assert_eq!((status.settings.description.as_str(), status.settings.quantisation), ("mine", Quantisation::F16));
    let hits = bank.search(&SearchRequest::text(wording(700), 1)).unwrap().hits;
    assert!((hits[0].score - 1.0).abs() < 1e-5 && hits[0].question.id == id(700), "{hits:?}");
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), 1200);
}

#[test]
fn a_bank_encoded_anew_takes_the_place_of_the_old_one() {
    let data = tempfile::tempdir().unwrap();
    let questions = made(data.path());
    let other = backwards(data.path(), usize::MAX);
    let refused = other.bank(&name()).map(drop).unwrap_err().to_string();
    assert!(refused.contains("(`simbert bank reencode faq`)"), "{refused}");
    let told = std::sync::Mutex::new(Vec::new());
    let status = other.reencode(&name(), None, &|done, total| told.lock().unwrap().push((done, total))).unwrap();
    assert_eq!(told.into_inner().unwrap(), [(512, 1200), (1024, 1200), (1200, 1200)]);
    assert_eq!((status.name.clone(), status.questions), (name(), 1200));
    check(&other, &name(), &questions);
    assert_eq!(entries(data.path()), ["faq"]);
    let again = other.reencode(&name(), None, &|_, _| ()).map(drop).unwrap_err();
    assert!(matches!(again, Error::Invalid { .. }), "{again}");
    assert!(matches!(engine(data.path()).bank(&name()).map(drop), Err(Error::ModelMismatch { .. })));
}

#[test]
fn with_another_name_both_banks_stay() {
    let data = tempfile::tempdir().unwrap();
    let questions = made(data.path());
    let (other, output) = (backwards(data.path(), usize::MAX), BankName::new("faq-2").unwrap());
    other.reencode(&name(), Some(&output), &|_, _| ()).unwrap();
    check(&other, &output, &questions);
    assert!(engine(data.path()).bank(&name()).unwrap().list(None, usize::MAX).unwrap() == questions);
    let taken = other.reencode(&name(), Some(&output), &|_, _| ()).map(drop).unwrap_err();
    assert!(matches!(taken, Error::AlreadyExists { .. }), "{taken}");
}

#[test]
fn work_that_fails_leaves_the_old_bank_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let questions = made(data.path());
    let failed = backwards(data.path(), 1000).reencode(&name(), None, &|_, _| ()).map(drop).unwrap_err();
    assert!(matches!(failed, Error::Runtime { .. }), "{failed}");
    assert_eq!(entries(data.path()), ["faq"]);
    let old = engine(data.path());
    let bank = old.bank(&name()).unwrap();
    assert!(bank.list(None, usize::MAX).unwrap() == questions);
    assert_eq!(bank.verify(&|_, _| ()).unwrap(), 1200);
    let open = backwards(data.path(), usize::MAX).reencode(&name(), None, &|_, _| ()).map(drop).unwrap_err();
    assert!(matches!(open, Error::Unavailable { .. }), "{open}");
    assert_eq!(entries(data.path()), ["faq"]);
}
