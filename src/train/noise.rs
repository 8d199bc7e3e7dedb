//! Noise on a source, so that what is written from it cannot be a copy (RoFormer-Sim's whole-word masking).

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::text::Tokenizer;
use crate::{Error, Result};

/// Replaces words: of those chosen, 80 % by `[MASK]`, 10 % by a random piece each, and 10 % are left as they are (the
/// shares of BERT's masking, Devlin et al. 2019).
#[derive(Debug)]
pub struct Noise<'a> {
    tokenizer: &'a Tokenizer,
    mask: u32,
    rate: f64,
}

impl<'a> Noise<'a> {
    /// Noise on a share `rate` of the words; none where that is 0.
    ///
    /// # Errors
    /// The tokenizer has no mask piece.
    pub fn new(tokenizer: &'a Tokenizer, rate: f64) -> Result<Option<Self>> {
        if rate <= 0.0 {
            return Ok(None);
        }
        let mask = tokenizer.special().mask.ok_or_else(|| {
            Error::invalid("training setting `data.noise_rate`", "0 for a tokenizer without a mask piece", rate)
        })?;
        Ok(Some(Self { tokenizer, mask, rate }))
    }

    /// Changes `pieces` in place. Pieces that continue a word share its fate.
    pub fn fall_on(&self, pieces: &mut [u32], random: &mut ChaCha8Rng) {
        let mut start = 0;
        while start < pieces.len() {
            let mut end = start + 1;
            while end < pieces.len() && self.tokenizer.continues_word(pieces[end]) {
                end += 1;
            }
            if random.random_bool(self.rate) {
                let kind: f64 = random.random();
                for piece in &mut pieces[start..end] {
                    if kind < 0.8 {
                        *piece = self.mask;
                    } else if kind < 0.9 {
                        *piece = random.random_range(0..self.tokenizer.vocabulary() as u32);
                    }
                }
            }
            start = end;
        }
    }
}
