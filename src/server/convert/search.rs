//! Queries, samplings, hits and times.

use std::sync::Arc;
use std::time::Duration;

use super::{ReadMask, filter};
use crate::Error;
use crate::engine::{ExpandRequest, Fusion, Hit, Query, SearchRequest, Timings};
use crate::generate::{GenerateRequest, MAX_COPY_PENALTY, MAX_MASKED, Paraphrase, Sampling};
use crate::server::limits::{HITS, Limits, PARAPHRASES, PHRASES, SAMPLE_TOKENS, SAMPLES, in_range};
use crate::server::proto;
use crate::server::proto::expanded_search_request::Fusion as FusionMessage;
use crate::server::proto::query::Kind;
use crate::server::record;
use crate::server::refused::{At, Refused};

/// Hits when no number is asked for.
const DEFAULT_HITS: usize = 10;
/// Paraphrases when no number is asked for; as the reference has it.
const DEFAULT_PARAPHRASES: usize = 20;
/// Phrases of an expanded search when no number is asked for.
const DEFAULT_PHRASES: usize = 8;
/// Samples of an expanded search when no number is asked for: it needs few phrases, and soon.
const DEFAULT_EXPANSION_SAMPLES: usize = 32;
/// The constant of reciprocal rank fusion. Source: Cormack et al. 2009.
const DEFAULT_RANK_CONSTANT: f32 = 60.0;

/// A text, or a vector of finite numbers that has a direction.
pub fn query(message: Option<proto::Query>, limits: &Limits) -> Result<Query, Refused> {
    match message.and_then(|query| query.kind) {
        Some(Kind::Text(text)) => limits.sentence("query text", text).at("text").map(Query::Text),
        Some(Kind::Vector(proto::Vector { values })) => {
            if values.iter().any(|x| !x.is_finite()) || values.iter().all(|&x| x == 0.0) {
                return Err(Error::invalid("query vector", "finite numbers, not all zero", "another vector"))
                    .at("vector.values");
            }
            Ok(Query::Vector(values))
        }
        None => Err(Error::invalid("query", "a text or a vector", "neither").into()),
    }
}

/// What comes with each hit of its question.
pub fn read_mask(options: Option<&proto::SearchOptions>) -> Result<ReadMask, Refused> {
    ReadMask::new(options.and_then(|options| options.read_mask.clone())).at("options.read_mask")
}

/// One look-up.
pub fn search_request(
    query: Query,
    options: Option<proto::SearchOptions>,
    limits: &Limits,
) -> Result<SearchRequest, Refused> {
    let options = options.unwrap_or_default();
    let read = || -> Result<_, Refused> {
        Ok(SearchRequest {
            query,
            k: limits.count("k", options.k, DEFAULT_HITS, HITS).at("k")?,
            filter: options.filter.map(|message| filter(message, limits).map(Arc::new)).transpose().at("filter")?,
            min_score: options.min_score.map(min_score).transpose()?,
            min_probability: options.min_probability.map(min_probability).transpose()?,
            group_by_faq: options.group_by_faq,
            exact: options.exact,
        })
    };
    read().at("options")
}

/// An expanded look-up.
pub fn expand_request(message: proto::ExpandedSearchRequest, limits: &Limits) -> Result<ExpandRequest, Refused> {
    let query = Query::Text(limits.sentence("query text", message.text).at("text")?);
    let fusion = match message.fusion {
        Some(FusionMessage::MaximumScore(_)) => Fusion::MaximumScore,
        Some(FusionMessage::ReciprocalRank(fusion)) => {
            let k = fusion.k.unwrap_or(DEFAULT_RANK_CONSTANT);
            if !(k > 0.0 && k.is_finite()) {
                return Err(Error::invalid("k of the reciprocal rank fusion", "a finite number above 0", k))
                    .at("reciprocal_rank.k");
            }
            Fusion::ReciprocalRank { k }
        }
        None => Fusion::ReciprocalRank { k: DEFAULT_RANK_CONSTANT },
    };
    Ok(ExpandRequest {
        search: search_request(query, message.options, limits)?,
        phrases: limits.count("phrases", message.phrases, DEFAULT_PHRASES, PHRASES).at("phrases")?,
        sampling: sampling(message.sampling, DEFAULT_EXPANSION_SAMPLES, limits).at("sampling")?,
        fusion,
    })
}

/// A wish for similar questions.
pub fn generate_request(message: proto::GenerateRequest, limits: &Limits) -> Result<GenerateRequest, Refused> {
    Ok(GenerateRequest {
        text: limits.sentence("text", message.text).at("text")?,
        k: limits.count("k", message.k, DEFAULT_PARAPHRASES, PARAPHRASES).at("k")?,
        sampling: sampling(message.sampling, Sampling::default().samples, limits).at("sampling")?,
        min_score: message.min_score.map(min_score).transpose()?,
    })
}

fn min_score(score: f32) -> Result<f32, Refused> {
    in_range("min_score", score, -1.0..=1.0).at("min_score")
}

fn min_probability(probability: f64) -> Result<f64, Refused> {
    in_range("min_probability", probability, 0.0..=1.0).at("min_probability")
}

fn sampling(message: Option<proto::Sampling>, default_samples: usize, limits: &Limits) -> Result<Sampling, Refused> {
    let message = message.unwrap_or_default();
    let default = Sampling::default();
    let above_zero = |what: &str, received: Option<f32>, default: f32, most: f32| {
        let number = received.unwrap_or(default);
        if number > 0.0 && number <= most {
            return Ok(number);
        }
        Err(Error::invalid(what, format!("a number above 0 and at most {most}"), number)).at(what)
    };
    let from_zero = |what: &str, received: Option<f32>, default: f32, most: f32| {
        in_range(what, received.unwrap_or(default), 0.0..=most).at(what)
    };
    let count = |what: &str, received, default, limit| limits.count(what, received, default, limit).at(what);
    Ok(Sampling {
        samples: count("samples", message.samples, default_samples, SAMPLES)?,
        max_tokens: count("max_tokens", message.max_tokens, default.max_tokens, SAMPLE_TOKENS)?,
        temperature: above_zero("temperature", message.temperature, default.temperature, 10.0)?,
        top_k: message.top_k.map_or(default.top_k, |k| k as usize),
        top_p: above_zero("top_p", message.top_p, default.top_p, 1.0)?,
        copy_penalty: from_zero("copy_penalty", message.copy_penalty, default.copy_penalty, MAX_COPY_PENALTY)?,
        mask_source: from_zero("mask_source", message.mask_source, default.mask_source, MAX_MASKED)?,
        seed: message.seed.unwrap_or(default.seed),
    })
}

/// A question found.
pub fn hit(hit: Hit, wanted: ReadMask) -> proto::Hit {
    proto::Hit {
        question: Some(super::question_message(hit.question, wanted)),
        score: hit.score,
        rank_score: hit.rank_score,
        phrase: hit.phrase,
        probability: hit.probability,
    }
}

/// A generated question.
pub fn paraphrase(paraphrase: Paraphrase) -> proto::Paraphrase {
    proto::Paraphrase { text: paraphrase.text, score: paraphrase.score }
}

/// The engine's times, with the wait at the server's own gate as part of the queue. They are noted with the call, too.
pub fn timings(timings: Timings, waited: Duration) -> proto::Timings {
    let timings = Timings { queue: timings.queue + waited, ..timings };
    record::note(timings);
    // Fails past 292 billion years only.
    let duration = |d: Duration| prost_types::Duration::try_from(d).ok();
    proto::Timings {
        queue: duration(timings.queue),
        tokenise: duration(timings.tokenise),
        infer: duration(timings.infer),
        generate: duration(timings.generate),
        search: duration(timings.search),
        store: duration(timings.store),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_take_the_documented_defaults() {
        let limits = Limits::default();
        let message = proto::ExpandedSearchRequest { text: "怎么开户".to_owned(), ..Default::default() };
        let expand = expand_request(message, &limits);
        let expected = ExpandRequest {
            search: SearchRequest::text("怎么开户", 10),
            phrases: 8,
            sampling: Sampling { samples: 32, ..Sampling::default() },
            fusion: Fusion::ReciprocalRank { k: 60.0 },
        };
        assert_eq!(expand.unwrap(), expected);
        let message = proto::GenerateRequest { text: "怎么开户".to_owned(), ..Default::default() };
        let generate = generate_request(message, &limits).unwrap();
        assert_eq!((generate.k, generate.sampling), (20, Sampling::default()));
    }

    #[test]
    fn vectors_without_a_direction_are_refused() {
        let limits = Limits::default();
        let vector = |values: Vec<f32>| {
            query(Some(proto::Query { kind: Some(Kind::Vector(proto::Vector { values })) }), &limits)
        };
        assert!(vector(vec![0.0, 2.0]).is_ok());
        for bad in [vec![], vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            assert!(vector(bad).is_err());
        }
        assert!(query(None, &limits).is_err());
    }

    #[test]
    fn sampling_out_of_range_is_refused() {
        let limits = Limits::default();
        let refused = |message: proto::Sampling| sampling(Some(message), 100, &limits).unwrap_err().to_string();
        assert!(refused(proto::Sampling { samples: Some(1001), ..Default::default() }).contains("1 to 1000"));
        assert!(refused(proto::Sampling { temperature: Some(0.0), ..Default::default() }).contains("above 0"));
        assert!(
            refused(proto::Sampling { top_p: Some(1.5), ..Default::default() }).contains("at most 1, received 1.5")
        );
        assert!(refused(proto::Sampling { top_p: Some(f32::NAN), ..Default::default() }).contains("NaN"));
        assert!(refused(proto::Sampling { copy_penalty: Some(-1.0), ..Default::default() }).contains("0 to 100"));
        assert!(refused(proto::Sampling { mask_source: Some(0.95), ..Default::default() }).contains("0 to 0.9"));
        assert!(refused(proto::Sampling { max_tokens: Some(0), ..Default::default() }).contains("max_tokens"));
    }
}
