//! An encoder and a writer without a model: texts that share characters have similar vectors. Some texts make trouble on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use simbert::engine::{QuestionWriter, SentenceEncoder, Timings};
use simbert::generate::{GenerateRequest, Paraphrase};
use simbert::runtime::waited_for;
use simbert::{Error, Result};

/// A text that takes [`SLOWNESS`] to encode.
pub const SLOW: &str = "a slow text";
pub const SLOWNESS: Duration = Duration::from_millis(400);
/// A text whose encoding panics.
pub const PANIC: &str = "a text that panics";
/// A text that the encoder refuses, though the server's door lets it in.
pub const REFUSED: &str = "a text that is refused";

/// Each character and each pair of neighbours adds to a few places of the vector.
pub struct FakeEncoder {
    fingerprint: String,
}

impl FakeEncoder {
    const DIMENSION: usize = 64;

    pub fn new(fingerprint: &str) -> Self {
        Self { fingerprint: fingerprint.to_owned() }
    }

    fn vector(text: &str) -> Vec<f32> {
        let mut vector = vec![0.01; Self::DIMENSION]; // never zero, even for a text of nothing
        let characters: Vec<u64> = text.chars().map(|c| u64::from(u32::from(c))).collect();
        let pairs = characters.windows(2).map(|pair| pair[0] << 21 | pair[1]);
        for gram in characters.iter().copied().chain(pairs) {
            let hash = gram.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for place in [hash >> 58, hash >> 52 & 63, hash >> 46 & 63] {
                vector[place as usize] += if hash >> 40 & 1 == 0 { 1.0 } else { -1.0 };
            }
        }
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter().map(|x| x / norm).collect()
    }
}

impl SentenceEncoder for FakeEncoder {
    fn encode(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Timings)> {
        for text in texts {
            match text.as_str() {
                SLOW => std::thread::sleep(SLOWNESS),
                PANIC => panic!("on purpose"),
                REFUSED => return Err(Error::invalid("text", "another one", "this one")),
                _ => {}
            }
        }
        let timings = Timings { infer: Duration::from_micros(1), ..Timings::default() };
        Ok((texts.iter().map(|text| Self::vector(text)).collect(), timings))
    }

    fn dimension(&self) -> usize {
        Self::DIMENSION
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// A text that is written on and on, until nobody waits any more.
pub const ENDLESS: &str = "an endless text";

/// Appends endings to the question, as many as there are samples. Clones count together.
#[derive(Default, Clone)]
pub struct FakeWriter {
    /// How often it began to write without end.
    pub begun: Arc<AtomicUsize>,
    /// How often it stopped since nobody waited.
    pub stopped: Arc<AtomicUsize>,
}

impl QuestionWriter for FakeWriter {
    fn write(&self, request: &GenerateRequest) -> Result<(Vec<Paraphrase>, Timings)> {
        if request.text == ENDLESS {
            self.begun.fetch_add(1, Ordering::SeqCst);
            while waited_for() {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.stopped.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Cancelled { what: "the writing".to_owned() });
        }
        if request.text == REFUSED {
            return Err(Error::invalid("text", "another one", REFUSED));
        }
        let phrase = |i| Paraphrase { text: format!("{}{i}", request.text), score: 0.99 - 0.01 * i as f32 };
        let all = (0..request.sampling.samples).map(phrase);
        let good = all.filter(|phrase| request.min_score.is_none_or(|least| phrase.score >= least));
        let timings = Timings { generate: Duration::from_micros(1), ..Timings::default() };
        Ok((good.take(request.k).collect(), timings))
    }
}
