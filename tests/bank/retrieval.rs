//! Finding: filters, groups, limits, expansion.

use std::collections::HashSet;
use std::sync::Arc;

use simbert::Error;
use simbert::engine::{ExpandRequest, Filter, Fusion, MetadataValue, Query, Question, SearchRequest};
use simbert::generate::Sampling;

use super::encoder::{LetterPairs, Synonyms};
use super::*;

/// Questions of 25 FAQs in three languages, with a number.
fn catalogue(n: u64) -> Vec<Question> {
    let question = |n: u64| {
        let metadata = [
            ("lang".to_owned(), MetadataValue::Text(["zh", "en", "ja"][(n % 3) as usize].to_owned())),
            ("views".to_owned(), MetadataValue::Number(n as f64)),
        ];
        Question { faq_id: Some(format!("faq {}", n % 25)), metadata: metadata.into(), ..question(n, &wording(n)) }
    };
    (0..n).map(question).collect()
}

#[test]
fn the_text_itself_is_found_first() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    bank.upsert(catalogue(900)).unwrap();
    for n in [0, 17, 899] {
        let hits = bank.search(&SearchRequest::text(wording(n), 5)).unwrap().hits;
        assert_eq!(hits.len(), 5);
        assert_eq!(hits[0].question.id, id(n));
        assert!((hits[0].score - 1.0).abs() < 1e-5 && hits[0].rank_score == hits[0].score);
        assert!(hits.windows(2).all(|w| w[0].score >= w[1].score));
    }
    let vector = LetterPairs::vector(&wording(17)).iter().map(|x| x * 3.0).collect();
    let by_vector = SearchRequest { query: Query::Vector(vector), ..SearchRequest::text("", 5) };
    assert_eq!(bank.search(&by_vector).unwrap().hits[0].question.id, id(17));
}

#[test]
fn filters_and_the_lowest_score_hold_for_every_hit() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    bank.upsert(catalogue(600)).unwrap();
    let filters = ["lang=zh|ja", "views>=100", "views<300"].map(|filter| filter.parse::<Filter>().unwrap());
    let all =
        SearchRequest { filter: Some(Filter::All(filters.into()).into()), ..SearchRequest::text(wording(200), 1000) };
    let hits = bank.search(&all).unwrap().hits;
    let expected = catalogue(600).into_iter().filter(|q| {
        let MetadataValue::Number(n) = q.metadata["views"] else { panic!() };
        q.metadata["lang"] != MetadataValue::Text("en".to_owned()) && (100.0..300.0).contains(&n)
    });
    let found: HashSet<_> = hits.iter().map(|hit| hit.question.id.clone()).collect();
    assert_eq!(found, expected.map(|q| q.id).collect());
    let floor = hits[10].score;
    let above = bank.search(&SearchRequest { min_score: Some(floor), ..all }).unwrap().hits;
    assert_eq!(above[..], hits[..hits.iter().filter(|hit| hit.score >= floor).count()]);
    let nothing = SearchRequest { filter: Some(Arc::new("lang=fr".parse().unwrap())), ..SearchRequest::text("x", 5) };
    assert!(bank.search(&nothing).unwrap().hits.is_empty());
}

#[test]
fn groups_are_filled_by_looking_wider() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    // One FAQ with a crowd of near phrasings, others further away, two questions of no FAQ.
    let crowd =
        (0..300).map(|n| Question { faq_id: Some("crowd".to_owned()), ..question(n, &format!("怎么退款{n}")) });
    let others = (300..310).map(|n| Question { faq_id: Some(format!("other {n}")), ..question(n, &wording(n)) });
    let alone = [question("x", "怎么退货"), question("y", "怎么退票")];
    bank.upsert(crowd.chain(others).chain(alone).collect()).unwrap();
    let grouped = SearchRequest { group_by_faq: true, ..SearchRequest::text("怎么退款7", 6) };
    let hits = bank.search(&grouped).unwrap().hits;
    assert_eq!(hits.len(), 6);
    assert_eq!(hits[0].question.id, id(7));
    let faqs: HashSet<_> =
        hits.iter().map(|hit| hit.question.faq_id.clone().unwrap_or(hit.question.id.to_string())).collect();
    assert_eq!(faqs.len(), 6);
    assert!(faqs.contains("x") && faqs.contains("y"));
    assert_eq!(bank.search(&SearchRequest { k: 1000, ..grouped }).unwrap().hits.len(), 13, "there are no more groups");
}

#[test]
fn a_batch_finds_what_single_searches_find() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    bank.upsert(catalogue(400)).unwrap();
    let requests: Vec<_> = (0..40)
        .map(|n| SearchRequest {
            group_by_faq: n % 2 == 0,
            exact: n % 3 == 0,
            ..SearchRequest::text(wording(n * 7), 8)
        })
        .collect();
    for (request, batched) in requests.iter().zip(bank.search_batch(&requests).unwrap()) {
        assert_eq!(bank.search(request).unwrap().hits, batched.hits);
    }
    assert!(bank.search_batch(&[]).unwrap().is_empty());
}

#[test]
fn requests_out_of_range_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let bank = created(&engine(data.path()));
    let fine = SearchRequest::text("x", 1);
    let bad = [
        SearchRequest { k: 0, ..fine.clone() },
        SearchRequest { k: 10_001, ..fine.clone() },
        SearchRequest { min_score: Some(f32::NAN), ..fine.clone() },
        SearchRequest { query: Query::Text("  ".to_owned()), ..fine.clone() },
        SearchRequest { query: Query::Vector(vec![1.0]), ..fine.clone() },
    ];
    for request in bad {
        assert!(matches!(bank.search(&request), Err(Error::Invalid { .. })), "{request:?}");
    }
    assert!(bank.search(&fine).unwrap().hits.is_empty(), "an empty bank has no hits");
}

#[test]
fn an_expanded_search_finds_other_wordings() {
    let data = tempfile::tempdir().unwrap();
    let plain = engine(data.path());
    let request = ExpandRequest {
        search: SearchRequest::text("怎么退款", 2),
        phrases: 5,
        sampling: Sampling::default(),
        fusion: Fusion::ReciprocalRank { k: 60.0 },
    };
    let bank = created(&plain);
    let questions = ["几点开门", "如何退款", "怎么把钱退回来", "地址在哪里"].map(|text| question(text, text));
    bank.upsert(questions.into()).unwrap();
    let missing = bank.expand(&request).unwrap_err();
    assert!(matches!(&missing, Error::NoDecoder { .. }), "{missing}");
    drop((bank, plain.close()));

    let bank = engine(data.path()).with_writer(Arc::new(Synonyms)).bank(&name()).unwrap();
    for fusion in [request.fusion, Fusion::MaximumScore] {
        let found = bank.expand(&ExpandRequest { fusion, ..request.clone() }).unwrap();
        assert_eq!(found.phrases.len(), 2);
        let texts: HashSet<_> = found.hits.iter().map(|hit| hit.question.text.as_str()).collect();
        assert_eq!(texts, ["如何退款", "怎么把钱退回来"].into(), "{:?}", found.hits);
        for hit in &found.hits {
            assert_eq!(hit.phrase.as_deref(), Some(hit.question.text.as_str()), "the phrase that is the question");
            assert!((hit.score - 1.0).abs() < 1e-5);
        }
    }
    let vector = SearchRequest { query: Query::Vector(vec![1.0; 312]), ..request.search.clone() };
    assert!(bank.expand(&ExpandRequest { search: vector, ..request.clone() }).is_err());
    assert!(bank.expand(&ExpandRequest { phrases: 0, ..request }).is_err());
}
