//! The encoder's queue and cache behind a server, with a real model. Returns at once where there is none, or no ONNX
//! Runtime.

use std::sync::Arc;
use std::time::{Duration, Instant};

use simbert::engine::{Engine, EngineOptions};
use simbert::model::Arithmetic;
use simbert::server::proto;
use tempfile::TempDir;
use tonic::{Code, Request};

use crate::harness::{Served, options};
use crate::served_model::exported;

/// Texts of a call that takes the encoder a while.
const MANY: usize = 256;

async fn serve() -> Option<Served> {
    let model = exported()?;
    let folder = Arc::new(TempDir::new().unwrap());
    let engine = Engine::open(EngineOptions {
        data: folder.path().to_owned(),
        model,
        arithmetic: Arithmetic::F32,
        onnxruntime: None,
        threads: 2,
        cache_bytes: 1 << 20,
    });
    Some(Served::serve(engine.unwrap(), folder, options()).await)
}

fn embed(texts: impl IntoIterator<Item = String>) -> proto::EmbedRequest {
    proto::EmbedRequest { texts: texts.into_iter().collect() }
}

fn long_texts(what: &str) -> proto::EmbedRequest {
    embed((0..MANY).map(|i| format!("{what}第{i}个问题很长，要问的是信用卡的额度怎样才能提高一些，还有在哪里可以查到")))
}

#[tokio::test]
async fn what_was_asked_before_comes_from_the_cache_and_is_the_same() {
    let Some(mut served) = serve().await else { return };
    let text = || embed(["信用卡额度怎么提高".to_owned()]);
    let first = served.client.embedding.embed(text()).await.unwrap().into_inner();
    let second = served.client.embedding.embed(text()).await.unwrap().into_inner();
    assert_eq!(first.vectors, second.vectors);
    let model = served.client.embedding.get_model(proto::GetModelRequest {}).await.unwrap().into_inner();
    let cache = model.cache.unwrap();
    assert_eq!((cache.hits, cache.misses, cache.capacity), (1, 1, 1 << 20));
    assert!(cache.bytes >= 4 * u64::from(model.dimension), "{cache:?}");
    // A file's worth of texts passes by, and pushes nothing out.
    served.client.embedding.embed(long_texts("甲")).await.unwrap();
    served.client.embedding.embed(text()).await.unwrap();
    let model = served.client.embedding.get_model(proto::GetModelRequest {}).await.unwrap().into_inner();
    assert_eq!(model.cache.map(|cache| (cache.hits, cache.misses)), Some((2, 1)));
}

#[tokio::test]
async fn texts_whose_deadline_has_passed_leave_the_encoder_to_others() {
    let Some(mut served) = serve().await else { return };
    let started = Instant::now();
    served.client.embedding.embed(long_texts("甲")).await.unwrap();
    let whole = started.elapsed();
    let mut late = Request::new(long_texts("乙"));
    late.set_timeout(whole / 10);
    let status = served.client.embedding.embed(late).await.unwrap_err();
    // The client's own clock says CANCELLED; either may be first.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    let started = Instant::now();
    served.client.embedding.embed(embed(["在哪里还款".to_owned()])).await.unwrap();
    let alone = started.elapsed();
    assert!(alone < whole / 2, "one text took {alone:?} after {MANY} that nobody wants, which take {whole:?}");
}

#[tokio::test]
async fn a_lone_text_does_not_wait_for_a_long_list() {
    let Some(served) = serve().await else { return };
    let (mut many, mut one) = (served.client.embedding.clone(), served.client.embedding.clone());
    let started = Instant::now();
    let long = tokio::spawn(async move { many.embed(long_texts("甲")).await.map(|_| started.elapsed()) });
    tokio::time::sleep(Duration::from_millis(50)).await;
    one.embed(embed(["在哪里还款".to_owned()])).await.unwrap();
    let alone = started.elapsed();
    let whole = long.await.unwrap().unwrap();
    assert!(alone < whole, "one text was answered after {alone:?}, and {MANY} before it after {whole:?}");
}
