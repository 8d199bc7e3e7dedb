//! `MapBank`.

use std::time::{Duration, Instant};

use simbert::server::proto;
use tonic::{Code, Request};

use crate::harness::{Served, assert_status, numbered, options, question, questions};

fn request(points: u32) -> proto::MapBankRequest {
    proto::MapBankRequest { name: "faq".to_owned(), points: Some(points), ..Default::default() }
}

async fn map(served: &mut Served, request: proto::MapBankRequest) -> proto::MapBankResponse {
    served.client.banks.map_bank(request).await.unwrap().into_inner()
}

fn ids<'a>(map: &'a proto::MapBankResponse, pair: &proto::NearDuplicate) -> (&'a str, &'a str) {
    let id = |place: u32| map.points[place as usize].id.as_str();
    (id(pair.first), id(pair.second))
}

#[tokio::test]
async fn each_question_has_its_place_and_near_duplicates_are_told_apart() {
    let mut served = Served::with_questions().await;
    let answered = |id: &str, answer: &str| proto::Question {
        id: id.to_owned(),
        text: "花呗怎么还款".to_owned(),
        answer: Some(answer.to_owned()),
        ..Default::default()
    };
    let mut twins = vec![answered("x1", "one"), answered("x2", "one"), answered("x3", "two")];
    twins.push(question("q1b", "银行卡丢了怎么挂失", "card", "bank", 9.0));
    served.upsert(twins).await.unwrap();
    let request = proto::MapBankRequest { label_key: "domain".to_owned(), ..request(100) };
    let map = map(&mut served, request.clone()).await;

    let points: Vec<_> = map.points.iter().map(|point| point.id.as_str()).collect();
    assert_eq!(points, ["q1", "q1b", "q2", "q3", "q4", "q5", "x1", "x2", "x3"]);
    assert_eq!((map.questions, map.looked_up, map.points[0].text.as_str()), (9, 9, questions()[0].text.as_str()));
    assert_eq!((map.points[0].faq_id.as_deref(), map.points[0].label.as_deref()), (Some("card"), Some("bank")));
    assert_eq!((map.points[6].faq_id.as_deref(), map.points[6].label.as_deref()), (None, None));
    assert!(map.points.iter().all(|point| point.x.abs() <= 1.0 && point.y.abs() <= 1.0));
    assert!(map.points.iter().any(|point| point.x.abs().max(point.y.abs()) == 1.0));
    assert!((0.0..=1.0).contains(&map.variance) && (0.0..=1.0).contains(&map.neighbours_kept));
    assert!(map.timings.as_ref().unwrap().search.unwrap().nanos > 0);

    let pairs: Vec<_> = map.near_duplicates.iter().map(|pair| (ids(&map, pair), pair.one_faq)).collect();
    let expected = [(("q1", "q1b"), true), (("x1", "x2"), true), (("x1", "x3"), false), (("x2", "x3"), false)];
    assert_eq!(pairs.len(), 4, "{pairs:?}");
    assert!(expected.iter().all(|pair| pairs.contains(pair)), "{pairs:?}");
    assert!(map.near_duplicates.iter().all(|pair| pair.score > 0.999 && pair.first < pair.second));
    let group = |place: usize| map.points[place].group;
    assert!(group(0).is_some() && group(0) == group(1) && group(6).is_some() && group(6) == group(8));
    assert_ne!(group(0), group(6));
    assert_eq!(group(3), None);

    let looser = proto::MapBankRequest { near_duplicate_score: Some(0.5), ..request };
    let looser = self::map(&mut served, looser).await;
    assert!(looser.near_duplicates.len() > 4);
    assert!(looser.near_duplicates.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!(looser.points[0].x, map.points[0].x, "the same questions, the same places");
}

#[tokio::test]
async fn a_large_bank_is_sampled_and_near_duplicates_come_along() {
    let mut served = Served::with_bank().await;
    served.upsert(numbered(0..400)).await.unwrap();
    let twin = |i: usize| proto::Question { id: format!("t{i}"), ..numbered(i..i + 1).remove(0) };
    served.upsert((0..400).step_by(10).map(twin).collect()).await.unwrap();
    let request = proto::MapBankRequest { near_duplicate_score: Some(0.999), ..request(60) };
    let map = map(&mut served, request.clone()).await;
    assert_eq!((map.points.len(), map.questions), (60, 440));
    assert!(!map.near_duplicates.is_empty());
    for pair in &map.near_duplicates {
        let (first, second) = ids(&map, pair);
        assert!(!pair.one_faq && first.starts_with('n') && second.starts_with('t'), "{first} and {second}");
    }
    let spread = map.points.iter().filter(|point| point.id.as_str() < "n00200").count();
    assert!((15..45).contains(&spread), "{spread} of the first half");
    assert_eq!(self::map(&mut served, request.clone()).await.points, map.points);
    let other = proto::MapBankRequest { seed: Some(7), ..request };
    assert_ne!(self::map(&mut served, other).await.points, map.points);
}

#[tokio::test]
async fn an_empty_bank_has_an_empty_map() {
    let mut served = Served::with_bank().await;
    let map = map(&mut served, request(10)).await;
    assert_eq!((map.points.len(), map.near_duplicates.len(), map.questions), (0, 0, 0));
}

#[tokio::test]
async fn map_errors_have_their_codes() {
    let options = simbert::server::ServerOptions { max_message_bytes: 64 << 10, ..options() };
    let mut served = Served::start_with(options).await;
    served.create("faq").await.unwrap();
    served.upsert(numbered(0..1000)).await.unwrap();
    served.upsert(numbered(1000..2000)).await.unwrap();
    let score = |score| proto::MapBankRequest { near_duplicate_score: Some(score), ..request(5) };
    let code = Code::InvalidArgument;
    let banks = &mut served.client.banks;
    assert_status(banks.map_bank(request(0)).await, code, "points: expected 1 to 10000, received 0");
    assert_status(banks.map_bank(request(10_001)).await, code, "received 10001");
    assert_status(banks.map_bank(score(0.4)).await, code, "near_duplicate_score: expected 0.5 to 1");
    assert_status(banks.map_bank(score(f32::NAN)).await, code, "near_duplicate_score");
    let elsewhere = proto::MapBankRequest { name: "none".to_owned(), ..Default::default() };
    assert_status(banks.map_bank(elsewhere).await, Code::NotFound, "bank `none` was not found");
    assert_status(banks.map_bank(request(2000)).await, Code::OutOfRange, "ask for fewer points");
    banks.map_bank(request(20)).await.unwrap();
}

#[tokio::test]
async fn a_map_that_nobody_waits_for_is_given_up() {
    let mut served = Served::with_bank().await;
    for start in (0..4000).step_by(1000) {
        served.upsert(numbered(start..start + 1000)).await.unwrap();
    }
    let mut hasty = Request::new(request(4000));
    hasty.set_timeout(Duration::from_millis(40));
    let given_up = served.client.banks.map_bank(hasty).await.unwrap_err().code();
    assert!(matches!(given_up, Code::Cancelled | Code::DeadlineExceeded), "{given_up:?}");
    let left = Instant::now();
    served.stop().await; // waits for the work
    assert!(left.elapsed() < Duration::from_secs(2), "{:?}", left.elapsed());
}
