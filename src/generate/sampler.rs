//! Draws tokens from logits: temperature, then top-k, then top-p (nucleus sampling, arXiv 1904.09751).

use std::cmp::Ordering;

use rand::Rng;

use super::Sampling;

/// Tokens whose probability is below e^−25 (1.4e-11) of the likeliest one's are never drawn. It spares most of a
/// vocabulary the exponential, and is far below what f32 logits tell apart.
const LEAST_LOG_RATIO: f32 = -25.0;
/// Up to so many of the likeliest tokens are found by insertion, more by a selection.
const MOST_INSERTED: usize = 64;
/// Logits that are passed over at one look if none of them is large.
const BLOCK: usize = 64;
/// How many of the likeliest tokens are sorted first to look for the end of the nucleus.
const FIRST_LOOK: usize = 64;

/// Draws tokens by one rule. Keeps its buffer between draws.
#[derive(Debug, Clone)]
pub struct Sampler {
    temperature: f32,
    top_k: usize,
    top_p: f64,
    /// Tokens that are never drawn, by id.
    banned: Vec<bool>,
    /// Tokens whose logits are lowered by `penalty`, which is not below 0.
    penalised: Vec<u32>,
    penalty: f32,
    /// The tokens that may come next, as they were last weighed, and the sum of their weights.
    candidates: Vec<Candidate>,
    total: f64,
    /// Tokens that are banned this once.
    refused: Vec<u32>,
}

/// A token and its probability, up to a common factor.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    id: u32,
    weight: f64,
}

impl Sampler {
    /// A sampler of `sampling`, which must be valid, over tokens for which `banned` says false; ids past the end of
    /// `banned` are banned.
    pub fn new(sampling: &Sampling, banned: Vec<bool>) -> Self {
        Self {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: f64::from(sampling.top_p),
            banned,
            penalised: Vec::new(),
            penalty: sampling.copy_penalty,
            candidates: Vec::new(),
            total: 0.0,
            refused: Vec::new(),
        }
    }

    /// Lowers the logits of `tokens` by the rule's `copy_penalty` from now on.
    pub fn penalise(&mut self, tokens: &[u32]) {
        self.penalised = if self.penalty > 0.0 { tokens.to_vec() } else { Vec::new() };
        self.penalised.sort_unstable();
        self.penalised.dedup();
    }

    /// What counts as the logit of token `id`.
    fn lowered(&self, id: usize, logit: f32) -> f32 {
        match self.penalised.binary_search(&(id as u32)) {
            Ok(_) => logit - self.penalty,
            Err(_) => logit,
        }
    }

    /// Weighs the tokens that may come next, none of them among `refused`. `logits` are finite, `[vocabulary]`.
    pub fn weigh(&mut self, logits: &[f32], refused: &[u32]) {
        self.refused.clear();
        for &id in refused {
            if let Some(banned) = self.banned.get_mut(id as usize)
                && !std::mem::replace(banned, true)
            {
                self.refused.push(id);
            }
        }
        self.candidates.clear();
        match self.top_k {
            1..=MOST_INSERTED => self.collect_top_k(logits),
            _ => self.collect(logits),
        }
        self.refused.iter().for_each(|&id| self.banned[id as usize] = false);
        self.keep_top_p();
        self.total = self.candidates.iter().map(|candidate| candidate.weight).sum();
    }

    /// Draws one of the weighed tokens; `None` if all are banned. May be called again for other draws of the same.
    pub fn draw(&self, random: &mut impl Rng) -> Option<u32> {
        let mut left = random.random::<f64>() * self.total;
        let drawn = self.candidates.iter().find(|candidate| {
            left -= candidate.weight;
            left < 0.0
        });
        // Rounding may leave a crumb after the last candidate.
        drawn.or(self.candidates.last()).map(|candidate| candidate.id)
    }

    /// The likeliest `top_k` tokens, in one look at each block's largest logit.
    fn collect_top_k(&mut self, logits: &[f32]) {
        let mut least = f32::NEG_INFINITY;
        // Until it is weighed, a candidate's weight is its logit.
        for (block, scores) in logits.chunks(BLOCK).enumerate() {
            if largest(scores) <= least {
                continue;
            }
            for (id, &logit) in (block * BLOCK..).zip(scores) {
                // The penalty only lowers, so what is too low without it is too low.
                if logit <= least || self.banned.get(id).is_none_or(|banned| *banned) {
                    continue;
                }
                let logit = self.lowered(id, logit);
                if logit > least {
                    // Equals stay in the order of their ids.
                    let place = self.candidates.partition_point(|other| other.weight >= f64::from(logit));
                    self.candidates.truncate(self.top_k - 1);
                    self.candidates.insert(place, Candidate { id: id as u32, weight: f64::from(logit) });
                    if self.candidates.len() == self.top_k {
                        least = self.candidates[self.top_k - 1].weight as f32;
                    }
                }
            }
        }
        let highest = self.candidates.first().map_or(0.0, |first| first.weight as f32);
        let temperature = self.temperature;
        self.candidates.retain_mut(|candidate| match weight(candidate.weight as f32, highest, temperature) {
            Some(weight) => {
                candidate.weight = weight;
                true
            }
            None => false,
        });
    }

    fn collect(&mut self, logits: &[f32]) {
        let allowed = || {
            let all = logits.iter().zip(&self.banned).enumerate().filter(|(_, (_, banned))| !**banned);
            all.map(|(id, (logit, _))| (id, self.lowered(id, *logit)))
        };
        let highest = allowed().map(|(_, logit)| logit).fold(f32::NEG_INFINITY, f32::max);
        let found = allowed().filter_map(|(id, logit)| {
            weight(logit, highest, self.temperature).map(|weight| Candidate { id: id as u32, weight })
        });
        self.candidates = found.collect();
        if (1..self.candidates.len()).contains(&self.top_k) {
            self.candidates.select_nth_unstable_by(self.top_k - 1, likeliest_first);
            self.candidates.truncate(self.top_k);
        }
    }

    /// Sorts only as many of the likeliest as the nucleus needs: look at 64, then at four times as many, and so on.
    fn keep_top_p(&mut self) {
        if self.top_p >= 1.0 {
            return;
        }
        let target = self.top_p * self.candidates.iter().map(|candidate| candidate.weight).sum::<f64>();
        let (mut sorted, mut sum, mut look) = (0, 0.0, FIRST_LOOK);
        while sorted < self.candidates.len() {
            let end = look.min(self.candidates.len());
            if end < self.candidates.len() {
                self.candidates[sorted..].select_nth_unstable_by(end - sorted, likeliest_first);
            }
            self.candidates[sorted..end].sort_unstable_by(likeliest_first);
            for kept in sorted..end {
                sum += self.candidates[kept].weight;
                if sum >= target {
                    self.candidates.truncate(kept + 1);
                    return;
                }
            }
            (sorted, look) = (end, look * 4);
        }
    }
}

/// The probability of `logit`, up to a factor that makes that of `highest` 1; `None` if it is never drawn.
fn weight(logit: f32, highest: f32, temperature: f32) -> Option<f64> {
    let log_ratio = (logit - highest) / temperature;
    (log_ratio > LEAST_LOG_RATIO).then(|| f64::from(log_ratio).exp())
}

/// The largest of `logits`, which are finite, in a loop that the compiler vectorises.
fn largest(logits: &[f32]) -> f32 {
    let (chunks, rest) = logits.as_chunks::<8>();
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let lanes = chunks
        .iter()
        .fold([f32::NEG_INFINITY; 8], |lanes, chunk| std::array::from_fn(|lane| larger(lanes[lane], chunk[lane])));
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// Ties go by id, so that the outcome does not depend on how a selection moved things.
fn likeliest_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn sampling(temperature: f32, top_k: usize, top_p: f32) -> Sampling {
        Sampling { temperature, top_k, top_p, ..Sampling::default() }
    }

    /// The rule written out the slow way: exact probabilities of every token.
    fn exact(logits: &[f32], banned: &[bool], rule: &Sampling) -> Vec<f64> {
        let mut order: Vec<usize> = (0..logits.len()).filter(|&id| !banned[id]).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        if rule.top_k > 0 {
            order.truncate(rule.top_k);
        }
        let weight = |id: usize| f64::from((logits[id] - logits[order[0]]) / rule.temperature).exp();
        let total: f64 = order.iter().map(|&id| weight(id)).sum();
        let (mut kept, mut sum) = (Vec::new(), 0.0);
        for &id in &order {
            kept.push(id);
            sum += weight(id);
            if rule.top_p < 1.0 && sum >= f64::from(rule.top_p) * total {
                break;
            }
        }
        let mut all = vec![0.0; logits.len()];
        for id in kept {
            all[id] = weight(id) / sum;
        }
        all
    }

    #[test]
    fn draws_follow_the_exact_probabilities() {
        let logits: Vec<f32> = (0..12).map(|i| ((i * 7 % 12) as f32) / 3.0).collect();
        let mut banned = vec![false; 12];
        banned[5] = true;
        for rule in [sampling(1.0, 0, 1.0), sampling(0.7, 6, 1.0), sampling(1.3, 0, 0.8), sampling(1.0, 8, 0.9)] {
            let expected = exact(&logits, &banned, &rule);
            let mut sampler = Sampler::new(&rule, banned.clone());
            let mut random = ChaCha8Rng::seed_from_u64(7);
            sampler.weigh(&logits, &[]);
            let (draws, mut counts) = (40_000, vec![0_u32; logits.len()]);
            for _ in 0..draws {
                counts[sampler.draw(&mut random).unwrap() as usize] += 1;
            }
            let mut chi_squared = 0.0;
            for (count, p) in counts.iter().zip(&expected) {
                if *p == 0.0 {
                    assert_eq!(*count, 0, "a token outside the rule was drawn");
                } else {
                    chi_squared += (f64::from(*count) - p * f64::from(draws)).powi(2) / (p * f64::from(draws));
                }
            }
            // 31.3 is passed once in a thousand with 11 degrees of freedom, the most there are here.
            assert!(chi_squared < 31.3, "{rule:?}: {chi_squared}");
        }
    }

    #[test]
    fn a_nucleus_wider_than_the_first_look_is_exact() {
        let logits: Vec<f32> = (0..1000).map(|i| ((i * 37 % 1000) as f32) / 500.0).collect();
        let (banned, rule) = (vec![false; 1000], sampling(1.0, 0, 0.9));
        let mut sampler = Sampler::new(&rule, banned.clone());
        sampler.weigh(&logits, &[]);
        let mut kept: Vec<u32> = sampler.candidates.iter().map(|candidate| candidate.id).collect();
        kept.sort_unstable();
        let expected = exact(&logits, &banned, &rule);
        let wanted: Vec<u32> = (0..1000).filter(|&id| expected[id as usize] > 0.0).collect();
        assert!(wanted.len() > FIRST_LOOK * 4);
        assert_eq!(kept, wanted);
    }

    #[test]
    fn the_token_that_crosses_p_is_kept() {
        // Probabilities ½, ¼, ¼: p of 0.6 needs two of them.
        let logits = [2.0_f32.ln(), 0.0, 0.0];
        let mut sampler = Sampler::new(&sampling(1.0, 0, 0.6), vec![false; 3]);
        sampler.weigh(&logits, &[]);
        assert_eq!(sampler.candidates.iter().map(|candidate| candidate.id).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn without_an_allowed_token_nothing_is_drawn() {
        let draw = |sampler: &mut Sampler, logits: &[f32], refused: &[u32], seed| {
            sampler.weigh(logits, refused);
            sampler.draw(&mut ChaCha8Rng::seed_from_u64(seed))
        };
        let mut sampler = Sampler::new(&Sampling::default(), vec![true; 2]);
        assert_eq!(draw(&mut sampler, &[0.0, 1.0], &[], 1), None);
        for rule in [sampling(1.0, 0, 1.0), sampling(1.0, 5, 1.0)] {
            let mut sampler = Sampler::new(&rule, vec![false; 2]);
            assert!((0..20).all(|seed| draw(&mut sampler, &[9.0, 1.0], &[0, 7], seed) == Some(1)));
            assert_eq!(draw(&mut sampler, &[9.0, 1.0], &[0, 1], 1), None);
            assert_eq!(draw(&mut sampler, &[9.0, -9.0], &[], 1), Some(0), "for one look only");
        }
    }

    #[test]
    fn a_penalty_lowers_the_tokens_that_it_is_for_and_no_others() {
        let logits = [3.0, 2.0, 1.0, 0.0];
        for top_k in [0, 4, 2] {
            let mut sampler =
                Sampler::new(&Sampling { copy_penalty: 2.5, ..sampling(1.0, top_k, 1.0) }, vec![false; 4]);
            sampler.penalise(&[0, 3, 0]);
            sampler.weigh(&logits, &[]);
            let mut found = sampler.candidates.clone();
            found.sort_unstable_by(likeliest_first);
            let expected = [(1, 0.0), (2, -1.0), (0, -1.5), (3, -4.5)].map(|(id, log)| (id, f64::exp(log)));
            assert_eq!(found.len(), if top_k == 2 { 2 } else { 4 });
            for (found, (id, weight)) in found.iter().zip(expected) {
                assert!(found.id == id && (found.weight - weight).abs() < 1e-6, "{top_k}: {found:?}");
            }
        }
    }

    #[test]
    fn both_ways_to_the_likeliest_find_the_same() {
        // Many equals, over several blocks, in no order.
        let logits: Vec<f32> = (0..500).map(|i| ((i * 263 % 500) / 7) as f32 / 9.0).collect();
        let banned: Vec<bool> = (0..500).map(|id| id % 5 == 0).collect();
        for top_k in [1, 2, 5, 63, 64] {
            let mut sampler = Sampler::new(&sampling(0.9, top_k, 1.0), banned.clone());
            sampler.weigh(&logits, &[4]);
            let inserted = std::mem::take(&mut sampler.candidates);
            sampler.banned[4] = true;
            sampler.collect(&logits);
            sampler.candidates.sort_unstable_by(likeliest_first);
            assert_eq!(inserted, sampler.candidates, "{top_k}");
        }
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_in_the_rule(
            logits in prop::collection::vec(-40.0_f32..40.0, 1..300),
            temperature in 0.1_f32..3.0, top_k in 0_usize..40, top_p in 0.01_f32..=1.0, seed: u64
        ) {
            let banned: Vec<bool> = (0..logits.len()).map(|id| id % 7 == 3).collect();
            let rule = sampling(temperature, top_k, top_p);
            let expected = exact(&logits, &banned, &rule);
            let mut sampler = Sampler::new(&rule, banned);
            sampler.weigh(&logits, &[]);
            let id = sampler.draw(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
            prop_assert!(expected[id as usize] > 0.0, "{} is outside of {:?}", id, expected);
            prop_assert!(top_k == 0 || sampler.candidates.len() <= top_k);
        }

        #[test]
        fn a_tiny_temperature_takes_the_likeliest(logits in prop::collection::vec(-9_i32..9, 1..50), seed: u64) {
            let logits: Vec<f32> = logits.into_iter().map(|x| x as f32).collect();
            let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sampler = Sampler::new(&sampling(1e-3, 0, 1.0), vec![false; logits.len()]);
            sampler.weigh(&logits, &[]);
            let id = sampler.draw(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
            prop_assert_eq!(logits[id as usize], best);
        }
    }
}
