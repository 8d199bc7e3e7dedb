//! Probabilities over gRPC: absent without a calibration, beside the score with one.

use simbert::metrics::Curve;
use simbert::model::{Calibration, Fitted};
use simbert::server::proto;
use tonic::Code;

use crate::encoder::FakeWriter;
use crate::harness::{Served, assert_status, engine, options, text_query};

fn calibration(fingerprint: &str) -> Calibration {
    let fitted = Fitted { pairs: 100, base_rate: 0.5, prior: None, hits: None, files: vec!["pairs.tsv".to_owned()] };
    Calibration::new(fingerprint.to_owned(), Curve::Isotonic { knots: vec![(0.0, 0.0), (1.0, 0.5)] }, fitted)
}

/// The folder of [`Served::with_questions`] behind a calibrated engine.
async fn calibrated() -> Served {
    let folder = Served::with_questions().await.stop().await;
    let engine = engine(folder.path(), "fake").with_writer(std::sync::Arc::new(FakeWriter::default()));
    Served::serve(engine.with_calibration(calibration("fake")).unwrap(), folder, options()).await
}

fn request(min_probability: Option<f64>) -> proto::SearchRequest {
    let options = Some(proto::SearchOptions { min_probability, ..Default::default() });
    proto::SearchRequest { bank: "faq".to_owned(), query: text_query("银行卡丢了怎么挂失"), options }
}

fn batch(min_probability: Option<f64>) -> proto::BatchSearchRequest {
    let proto::SearchRequest { bank, query, options } = request(min_probability);
    proto::BatchSearchRequest { bank, queries: query.into_iter().collect(), options }
}

fn expanded(min_probability: Option<f64>) -> proto::ExpandedSearchRequest {
    let proto::SearchRequest { bank, options, .. } = request(min_probability);
    let (text, phrases) = ("银行卡丢了怎么挂失".to_owned(), Some(3));
    proto::ExpandedSearchRequest { bank, text, options, phrases, ..Default::default() }
}

#[tokio::test]
async fn every_search_gives_score_and_probability() {
    let mut served = calibrated().await;
    let client = &mut served.client.search;
    let found = client.search(request(None)).await.unwrap().into_inner().hits;
    let in_batch = client.batch_search(batch(None)).await.unwrap().into_inner().results.remove(0).hits;
    let widened = client.expanded_search(expanded(None)).await.unwrap().into_inner().hits;
    for hits in [&found, &in_batch, &widened] {
        assert_eq!(hits.len(), 5);
        for hit in hits {
            let expected = f64::from(hit.score).clamp(0.0, 1.0) / 2.0;
            assert!((hit.probability.unwrap() - expected).abs() < 1e-9, "{hit:?}");
        }
    }
}

#[tokio::test]
async fn unlikely_hits_can_be_left_out() {
    let mut served = calibrated().await;
    let client = &mut served.client.search;
    let least = Some(0.4999);
    let found = client.search(request(least)).await.unwrap().into_inner().hits;
    let in_batch = client.batch_search(batch(least)).await.unwrap().into_inner().results.remove(0).hits;
    let widened = client.expanded_search(expanded(least)).await.unwrap().into_inner().hits;
    for hits in [found, in_batch, widened] {
        assert_eq!(hits.iter().map(|hit| hit.question.as_ref().unwrap().id.as_str()).collect::<Vec<_>>(), ["q1"]);
    }
    let mut grouped = request(Some(0.2));
    grouped.options.as_mut().unwrap().group_by_faq = true;
    let grouped = client.search(grouped).await.unwrap().into_inner().hits;
    assert!(!grouped.is_empty() && grouped.iter().all(|hit| hit.probability >= Some(0.2)));
    for least in [-0.1, 1.1, f64::NAN] {
        assert_status(
            client.search(request(Some(least))).await,
            Code::InvalidArgument,
            "min_probability: expected 0 to 1",
        );
    }
}

#[tokio::test]
async fn without_a_calibration_there_are_none_and_none_can_be_asked_for() {
    let mut served = Served::with_questions().await.with_writer().await;
    let client = &mut served.client.search;
    let found = client.search(request(None)).await.unwrap().into_inner().hits;
    assert!(found.len() == 5 && found.iter().all(|hit| hit.probability.is_none()));
    let (code, part) = (Code::InvalidArgument, "a model with a calibration");
    assert_status(client.search(request(Some(0.5))).await, code, part);
    assert_status(client.batch_search(batch(Some(0.5))).await, code, part);
    assert_status(client.expanded_search(expanded(Some(0.5))).await, code, part);
}

#[test]
fn another_models_calibration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused =
        engine(folder.path(), "fake").with_calibration(calibration("other")).map(drop).unwrap_err().to_string();
    assert!(refused.contains("fitted to model other, and this is model fake"), "{refused}");
}
