//! What a load is made of, and what its next call is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A caller that leaves early does so within this time.
const LEAVES_WITHIN: Duration = Duration::from_millis(20);

/// The largest weight.
const MOST: f64 = 1e9;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Search,
    Embed,
    Expanded,
    Generate,
    Upsert,
    Delete,
    Snapshot,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Search, Self::Embed, Self::Expanded, Self::Generate, Self::Upsert, Self::Delete, Self::Snapshot];

    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Embed => "embed",
            Self::Expanded => "expanded",
            Self::Generate => "generate",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Kinds of calls and how frequent each is.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    kinds: Vec<Kind>,
    weights: WeightedIndex<f64>,
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut kinds, mut weights) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let found = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim());
            let kind = found.ok_or_else(|| {
                let names = Kind::ALL.map(Kind::name).join(", ");
                format!("expected calls out of {names}, received `{name}`")
            })?;
            let weight = weight.trim().parse::<f64>();
            let weight = weight.map_err(|_| format!("expected a number after `{name}=`"))?;
            kinds.push(kind);
            weights.push(weight);
        }
        let fine = weights.iter().all(|&weight| weight <= MOST);
        let weights = fine.then(|| WeightedIndex::new(weights).ok()).flatten();
        let weights = weights.ok_or_else(|| format!("expected weights from 0 to {MOST}, and one above 0"))?;
        Ok(Self { kinds, weights })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.kinds.iter().zip(self.weights.weights());
        let parts: Vec<_> = parts.map(|(kind, weight)| format!("{}={weight}", kind.name())).collect();
        f.write_str(&parts.join(","))
    }
}

/// One call, before it is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    pub kind: Kind,
    /// How many were drawn before it.
    pub number: u64,
    /// When its caller leaves, where it does not wait for the answer.
    pub leaves: Option<Duration>,
}

/// Draws calls; the same ones from the same seed.
pub struct Planner {
    random: SmallRng,
    mix: Mix,
    /// The share of callers that leave early, 0 to 1.
    leaving: f64,
    drawn: u64,
}

impl Planner {
    pub fn new(mix: Mix, leaving: f64, seed: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), mix, leaving, drawn: 0 }
    }

    pub fn draw(&mut self) -> Plan {
        let Self { random, mix, leaving, drawn } = self;
        *drawn += 1;
        let kind = mix.kinds[mix.weights.sample(random)];
        let leaves = random.random_bool(*leaving).then(|| LEAVES_WITHIN.mul_f64(random.random()));
        Plan { kind, number: *drawn - 1, leaves }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_drawn_by_its_weights_and_the_same_from_the_same_seed() {
        let mix: Mix = "search=8, upsert=2,delete=0".parse().unwrap();
        assert_eq!(mix.to_string(), "search=8,upsert=2,delete=0");
        let draw = |seed| {
            let mut planner = Planner::new(mix.clone(), 0.5, seed);
            (0..2000).map(|_| planner.draw()).collect::<Vec<_>>()
        };
        let plans = draw(1);
        let share = |of: fn(&Plan) -> bool| plans.iter().filter(|plan| of(plan)).count() as f64 / 2000.0;
        assert!((share(|plan| plan.kind == Kind::Search) - 0.8).abs() < 0.04);
        assert!((share(|plan| plan.leaves.is_some()) - 0.5).abs() < 0.05);
        assert_eq!(share(|plan| plan.kind == Kind::Delete), 0.0);
        assert_eq!(plans.iter().map(|plan| plan.number).collect::<Vec<_>>(), (0..2000).collect::<Vec<_>>());
        assert_eq!(plans, draw(1));
        assert_ne!(plans, draw(2));
    }

    #[test]
    fn a_wrong_mix_says_what_was_expected() {
        let refused = |text: &str| text.parse::<Mix>().unwrap_err();
        assert!(refused("find=3").starts_with("expected calls out of search, embed, "));
        assert_eq!(refused("search=much"), "expected a number after `search=`");
        for wrong in ["search=0", "search=-1", "search=NaN", "search=inf", "search=1e308,embed=1e308"] {
            assert_eq!(refused(wrong), "expected weights from 0 to 1000000000, and one above 0", "{wrong}");
        }
    }
}
