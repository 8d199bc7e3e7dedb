//! A deterministic encoder: letters and pairs of letters, hashed into a vector. Texts that share letters are near.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

use simbert::Result;
use simbert::engine::{QuestionWriter, SentenceEncoder, Timings};
use simbert::generate::{GenerateRequest, Paraphrase, Stop};

pub const WIDTH: usize = 312;

pub struct LetterPairs {
    fingerprint: String,
    pub encoded: AtomicUsize,
}

impl LetterPairs {
    pub fn new(fingerprint: &str) -> Self {
        Self { fingerprint: fingerprint.to_owned(), encoded: AtomicUsize::new(0) }
    }

    pub fn vector(text: &str) -> Vec<f32> {
        let letters: Vec<char> = text.chars().collect();
        let mut vector = vec![0f32; WIDTH];
        vector[0] = 0.1; // no text is the zero vector
        for piece in letters.windows(1).chain(letters.windows(2)) {
            let mut hasher = DefaultHasher::new();
            piece.hash(&mut hasher);
            for seed in 0..4 {
                seed.hash(&mut hasher);
                let hash = hasher.finish();
                vector[hash as usize % WIDTH] += if hash >> 63 == 0 { 1.0 } else { -1.0 };
            }
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter().map(|x| x / length).collect()
    }
}

impl SentenceEncoder for LetterPairs {
    fn encode(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Timings)> {
        self.encoded.fetch_add(texts.len(), Ordering::Relaxed);
        Ok((texts.iter().map(|text| Self::vector(text)).collect(), Timings::default()))
    }
    fn dimension(&self) -> usize {
        WIDTH
    }
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Says the same in other words, always the same ones.
pub struct Synonyms;

impl QuestionWriter for Synonyms {
    fn write(&self, request: &GenerateRequest, _: &Stop) -> Result<(Vec<Paraphrase>, Timings)> {
        let texts = [request.text.replace("怎么", "如何"), request.text.replace("退款", "把钱退回来")];
        let phrases = texts.map(|text| Paraphrase { text, score: 0.9 });
        Ok((phrases.into_iter().take(request.k).collect(), Timings::default()))
    }
}
