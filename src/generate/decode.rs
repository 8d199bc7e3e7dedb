//! The decode loop: all samples go on together, and leave when they end.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::wording::stutters;
use super::{Sampler, Sampling};
use crate::runtime::Decoder;
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Draws `sampling.samples` targets that do not stutter for the source `[CLS] pieces… [SEP]`: their ids without the closing `[SEP]`, in
/// the order of the samples. Each sample has a random stream of its own, so what it becomes does not depend on when
/// the others end.
///
/// # Errors
/// Source and target do not fit into the model's positions, or ONNX Runtime fails.
pub fn decode(decoder: &Decoder, tokenizer: &Tokenizer, source: &[u32], sampling: &Sampling) -> Result<Vec<Vec<u32>>> {
    let room = decoder.positions().saturating_sub(source.len());
    if sampling.max_tokens > room {
        let expected = format!("at most {room} after a source of {} tokens", source.len());
        return Err(Error::invalid("max_tokens", expected, sampling.max_tokens));
    }
    let end = tokenizer.special().sep;
    let mut sampler = Sampler::new(sampling, banned(decoder, tokenizer));
    let mut random: Vec<ChaCha8Rng> = (0..sampling.samples).map(|sample| stream(sampling.seed, sample)).collect();
    let (mut targets, mut refused) = (vec![Vec::new(); sampling.samples], Vec::new());
    let said = source;

    let (source, mut logits) = decoder.read(source)?;
    let mut cache = decoder.start(sampling.samples)?;
    // The samples that go on: row i of the cache is sample live[i]. All read the first token off the source's row.
    let mut live: Vec<usize> = (0..sampling.samples).collect();
    for step in 0..sampling.max_tokens {
        let mut rows = Vec::with_capacity(live.len());
        for (row, &sample) in live.iter().enumerate() {
            let scores = logits.row(if step == 0 { 0 } else { row });
            stutters(&targets[sample], said, &mut refused);
            refused.retain(|&id| id != end);
            match sampler.draw(scores, &refused, &mut random[sample]) {
                Some(id) if id != end => {
                    targets[sample].push(id);
                    rows.push(row);
                }
                _ => {}
            }
        }
        if rows.is_empty() || step + 1 == sampling.max_tokens {
            break;
        }
        if rows.len() < live.len() {
            cache.keep(&rows)?;
            live = rows.iter().map(|&row| live[row]).collect();
        }
        let last: Vec<u32> = live.iter().filter_map(|&sample| targets[sample].last().copied()).collect();
        logits = decoder.step(&source, &mut cache, &last)?;
    }
    Ok(targets)
}

fn stream(seed: u64, sample: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(sample as u64);
    random
}

/// Padding, `[CLS]`, `[MASK]`, the unknown piece, and rows of the embedding that the tokenizer has no piece for.
fn banned(decoder: &Decoder, tokenizer: &Tokenizer) -> Vec<bool> {
    let special = tokenizer.special();
    let mut banned: Vec<bool> = (0..decoder.vocabulary()).map(|id| id >= tokenizer.vocabulary()).collect();
    for id in [special.pad, special.cls, special.unk].into_iter().chain(special.mask) {
        if let Some(banned) = banned.get_mut(id as usize) {
            *banned = true;
        }
    }
    banned
}
