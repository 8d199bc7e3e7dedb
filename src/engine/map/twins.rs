//! Pairs of questions that are nearly the same.

use std::collections::{BTreeMap, BTreeSet};

use super::sample::{Drawn, Sampled, is_chosen};
use super::{MapRequest, NearDuplicate, check_waited_for};
use crate::Result;
use crate::engine::Bank;

/// Internal ids of a pair, and its cosine.
pub(super) type Pair = ((u32, u32), f32);

impl Bank {
    /// Puts the near-duplicates of sampled questions on the map too: in a bank that was sampled, most of them were not.
    /// Other questions make room for them. Gives the questions in the order of their ids, and the pairs that have both
    /// ends on the map, best first.
    pub(super) fn with_twins(&self, sampled: Sampled, request: &MapRequest) -> Result<(Vec<Drawn>, Vec<Pair>)> {
        let Sampled { mut drawn, pairs, .. } = sampled;
        let mut pairs: Vec<Pair> = pairs.into_iter().collect();
        pairs.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut paired = BTreeSet::new();
        pairs.retain(|((a, b), _)| {
            let new = [a, b].into_iter().filter(|id| !paired.contains(*id)).count();
            let fits = paired.len() + new <= request.points;
            if fits {
                paired.extend([*a, *b]);
            }
            fits
        });
        let missing = &paired - &drawn.iter().map(|drawn| drawn.internal).collect();
        let room = request.points - missing.len(); // all that are missing are paired
        make_room(&mut drawn, room, &paired);
        let shared = self.live()?;
        for internal in missing {
            check_waited_for()?;
            shared.check_not_deleted()?;
            let catalogue = shared.catalogue.read();
            drawn.extend(shared.drawn(&catalogue, internal, request.label.as_deref())?);
        }
        drawn.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((drawn, pairs))
    }
}

/// Leaves no more than `room` questions, all of the `paired` among them; of the others those that are left are spread
/// over all.
fn make_room(drawn: &mut Vec<Drawn>, room: usize, paired: &BTreeSet<u32>) {
    let others = drawn.iter().filter(|drawn| !paired.contains(&drawn.internal)).count();
    let left = others.saturating_sub(drawn.len().saturating_sub(room));
    let mut places = 0..;
    drawn.retain(|drawn| {
        paired.contains(&drawn.internal) || places.next().is_some_and(|place| is_chosen(place, left, others))
    });
}

/// The pairs by their places on the map, where both are there.
pub(super) fn near_duplicates(drawn: &[Drawn], pairs: &[Pair]) -> Vec<NearDuplicate> {
    let places: BTreeMap<u32, usize> = drawn.iter().enumerate().map(|(place, drawn)| (drawn.internal, place)).collect();
    let near = |((a, b), score): &Pair| {
        let (a, b) = (*places.get(a)?, *places.get(b)?); // one that was deleted meanwhile has none
        let same = |x: &Drawn, y: &Drawn| {
            x.faq_id.is_some() && x.faq_id == y.faq_id || x.answer.is_some() && x.answer == y.answer
        };
        let one_faq = same(&drawn[a], &drawn[b]);
        Some(NearDuplicate { first: a.min(b), second: a.max(b), score: *score, one_faq })
    };
    pairs.iter().filter_map(near).collect()
}

/// The group of each point: what pairs hold together, in the order of their best pairs.
pub(super) fn groups(points: usize, pairs: &[NearDuplicate]) -> Vec<Option<u32>> {
    let mut beside: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for pair in pairs {
        beside.entry(pair.first).or_default().push(pair.second);
        beside.entry(pair.second).or_default().push(pair.first);
    }
    let mut groups = vec![None; points];
    let mut next = 1;
    for pair in pairs {
        if groups[pair.first].is_some() {
            continue;
        }
        let mut reached = vec![pair.first];
        while let Some(point) = reached.pop() {
            if groups[point].replace(next).is_none() {
                reached.extend(beside.get(&point).into_iter().flatten().filter(|&&other| groups[other].is_none()));
            }
        }
        next += 1;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::QuestionId;

    fn drawn(internal: u32) -> Drawn {
        let id = QuestionId::new(internal.to_string()).unwrap();
        let (text, vector) = (String::new(), Vec::new());
        Drawn { internal, id, text, faq_id: None, answer: None, label: None, vector }
    }

    #[test]
    fn room_is_made_evenly_and_never_by_what_is_paired() {
        let mut all: Vec<_> = (0..100).map(drawn).collect();
        make_room(&mut all, 28, &[3, 4, 97].into());
        let left: Vec<u32> = all.iter().map(|drawn| drawn.internal).collect();
        assert_eq!(left.len(), 28);
        assert!([3, 4, 97].iter().all(|id| left.contains(id)));
        assert!(left.windows(2).all(|pair| pair[1] - pair[0] < 7), "{left:?}");
        make_room(&mut all, 28, &BTreeSet::new());
        assert_eq!(all.len(), 28);
        make_room(&mut all, 2, &[3, 4].into());
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn groups_hold_what_pairs_hold_together() {
        let pair = |first, second| NearDuplicate { first, second, score: 1.0, one_faq: false };
        let groups = groups(7, &[pair(4, 5), pair(0, 2), pair(2, 3)]);
        assert_eq!(groups, [Some(2), None, Some(2), Some(2), Some(1), Some(1), None]);
    }

    #[test]
    fn one_answer_is_one_faq() {
        let of = |internal, faq: Option<&str>, answer| Drawn { faq_id: faq.map(Into::into), answer, ..drawn(internal) };
        let all = [of(0, Some("f"), Some(1)), of(1, Some("f"), Some(2)), of(2, None, Some(1)), of(3, None, None)];
        let pairs = [((0, 1), 0.99), ((0, 2), 0.98), ((1, 2), 0.97), ((2, 3), 0.96), ((3, 9), 0.95)];
        let found: Vec<bool> = near_duplicates(&all, &pairs).iter().map(|pair| pair.one_faq).collect();
        assert_eq!(found, [true, true, false, false]);
    }
}
