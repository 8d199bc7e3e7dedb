//! Every limit at its edge and past it, and what is said there.

use prost::Message as _;
use simbert::server::limits::{ALL, Limits};
use simbert::server::proto::filter::Condition;
use simbert::server::{Client, ServerOptions, proto};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Served, numbered, options, text_query};

/// A call that asks for so much.
enum Call {
    Batch(proto::BatchSearchRequest),
    Create(proto::CreateBankRequest),
    Delete(proto::DeleteQuestionsRequest),
    Embed(proto::EmbedRequest),
    Expand(proto::ExpandedSearchRequest),
    Generate(proto::GenerateRequest),
    GenerateMany(proto::GenerateManyRequest),
    Get(proto::GetQuestionsRequest),
    List(proto::ListQuestionsRequest),
    ListBanks(proto::ListBanksRequest),
    Search(proto::SearchRequest),
    Upsert(proto::UpsertQuestionsRequest),
}
use Call::{Batch, Create, Delete, Embed, Expand, Generate, GenerateMany, Get, List, ListBanks, Search, Upsert};

impl Call {
    async fn make(self, client: &mut Client) -> Result<(), Status> {
        fn done<T>(reply: Response<T>) {
            drop(reply);
        }
        match self {
            Batch(request) => client.search.batch_search(request).await.map(done),
            Create(request) => client.banks.create_bank(request).await.map(done),
            Delete(request) => client.questions.delete_questions(request).await.map(done),
            Embed(request) => client.embedding.embed(request).await.map(done),
            Expand(request) => client.search.expanded_search(request).await.map(done),
            Generate(request) => client.paraphrases.generate(request).await.map(done),
            GenerateMany(request) => client.paraphrases.generate_many(request).await.map(done),
            Get(request) => client.questions.get_questions(request).await.map(done),
            List(request) => client.questions.list_questions(request).await.map(done),
            ListBanks(request) => client.banks.list_banks(request).await.map(done),
            Search(request) => client.search.search(request).await.map(done),
            Upsert(request) => client.questions.upsert_questions(request).await.map(done),
        }
    }
}

fn bank() -> String {
    "faq".to_owned()
}

fn text() -> String {
    "手机".to_owned()
}

fn texts(n: usize) -> Vec<String> {
    vec![text(); n]
}

fn search(options: proto::SearchOptions) -> Call {
    Search(proto::SearchRequest { bank: bank(), query: text_query("手机"), options: Some(options) })
}

fn filtered(condition: Condition) -> Call {
    let filter = Some(proto::Filter { condition: Some(condition) });
    search(proto::SearchOptions { filter, ..Default::default() })
}

fn batch(n: usize, k: usize) -> Call {
    let queries = vec![text_query("手机").unwrap(); n];
    let options = Some(proto::SearchOptions { k: Some(k as u32), ..Default::default() });
    Batch(proto::BatchSearchRequest { bank: bank(), queries, options })
}

fn generate(sampling: proto::Sampling) -> Call {
    Generate(proto::GenerateRequest { text: text(), sampling: Some(sampling), ..Default::default() })
}

fn exists() -> proto::Filter {
    proto::Filter { condition: Some(Condition::Exists(proto::ExistsFilter { key: "k".to_owned() })) }
}

/// What each limit is set to here, all of them different.
fn limits() -> Limits {
    Limits {
        items: 5,
        text_bytes: 40,
        description_bytes: 30,
        hits: 25,
        queries: 4,
        batch_hits: 24,
        page: 6,
        paraphrases: 7,
        samples: 9,
        sample_tokens: 11,
        phrases: 3,
        filter_depth: 2,
        filter_conditions: 8,
        filter_values: 12,
    }
}

/// The name of a limit, what it is set to, and a call that asks for so much of it.
type Row = (&'static str, usize, fn(usize) -> Call);

fn rows() -> Vec<Row> {
    let Limits { items, text_bytes, description_bytes, hits, queries, batch_hits, page, paraphrases, .. } = limits();
    let Limits { samples, sample_tokens, phrases, filter_depth, filter_conditions, filter_values, .. } = limits();
    vec![
        ("items", items, |n| Embed(proto::EmbedRequest { texts: texts(n) })),
        ("items", items, |n| Upsert(proto::UpsertQuestionsRequest { bank: bank(), questions: numbered(0..n) })),
        ("items", items, |n| Delete(proto::DeleteQuestionsRequest { bank: bank(), ids: texts(n) })),
        ("items", items, |n| Get(proto::GetQuestionsRequest { bank: bank(), ids: texts(n), ..Default::default() })),
        ("items", items, |n| GenerateMany(proto::GenerateManyRequest { texts: texts(n), ..Default::default() })),
        ("text_bytes", text_bytes, |n| Embed(proto::EmbedRequest { texts: vec!["x".repeat(n)] })),
        ("text_bytes", text_bytes, |n| {
            Search(proto::SearchRequest { bank: bank(), query: text_query(&"x".repeat(n)), options: None })
        }),
        ("text_bytes", text_bytes, |n| {
            let question = proto::Question { id: "q".to_owned(), text: "x".repeat(n), ..Default::default() };
            Upsert(proto::UpsertQuestionsRequest { bank: bank(), questions: vec![question] })
        }),
        ("text_bytes", text_bytes, |n| Generate(proto::GenerateRequest { text: "x".repeat(n), ..Default::default() })),
        ("text_bytes", text_bytes, |n| {
            Expand(proto::ExpandedSearchRequest { bank: bank(), text: "x".repeat(n), ..Default::default() })
        }),
        ("description_bytes", description_bytes, |n| {
            Create(proto::CreateBankRequest {
                name: "new".to_owned(),
                description: "x".repeat(n),
                allow_existing: true,
                ..Default::default()
            })
        }),
        ("hits", hits, |n| search(proto::SearchOptions { k: Some(n as u32), ..Default::default() })),
        ("queries", queries, |n| batch(n, 1)),
        ("batch_hits", batch_hits, |n| batch(1, n)),
        ("page", page, |n| {
            List(proto::ListQuestionsRequest { bank: bank(), page_size: Some(n as u32), ..Default::default() })
        }),
        ("page", page, |n| ListBanks(proto::ListBanksRequest { page_size: Some(n as u32), ..Default::default() })),
        ("paraphrases", paraphrases, |n| {
            Generate(proto::GenerateRequest { text: text(), k: Some(n as u32), ..Default::default() })
        }),
        ("samples", samples, |n| generate(proto::Sampling { samples: Some(n as u32), ..Default::default() })),
        ("sample_tokens", sample_tokens, |n| {
            generate(proto::Sampling { max_tokens: Some(n as u32), ..Default::default() })
        }),
        ("phrases", phrases, |n| {
            Expand(proto::ExpandedSearchRequest {
                bank: bank(),
                text: text(),
                phrases: Some(n as u32),
                ..Default::default()
            })
        }),
        ("filter_depth", filter_depth, |n| {
            let deep = (1..n - 1)
                .fold(exists(), |inner, _| proto::Filter { condition: Some(Condition::Not(Box::new(inner))) });
            filtered(Condition::Not(Box::new(deep)))
        }),
        ("filter_conditions", filter_conditions, |n| {
            filtered(Condition::Any(proto::FilterList { filters: vec![exists(); n - 1] }))
        }),
        ("filter_values", filter_values, |n| filtered(Condition::FaqId(proto::FaqIdFilter { faq_ids: texts(n) }))),
    ]
}

async fn limited() -> Served {
    let folder = Served::with_questions().await.stop().await;
    let engine = crate::harness::engine(folder.path(), "fake");
    let engine = engine.with_writer(std::sync::Arc::new(crate::encoder::FakeWriter::default()));
    Served::serve(engine, folder, ServerOptions { limits: limits(), ..options() }).await
}

#[tokio::test]
async fn what_is_at_a_limit_is_done_and_what_is_past_it_names_the_setting() {
    let mut served = limited().await;
    for (name, most, call) in rows() {
        call(most).make(&mut served.client).await.unwrap_or_else(|status| panic!("{name} at its limit: {status}"));
        let status = call(most + 1).make(&mut served.client).await.expect_err(name);
        let setting = format!("--max-{}", name.replace('_', "-"));
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let sentence = format!("; the server's `{setting}` sets this limit");
        assert!(status.message().contains(&most.to_string()) || name == "filter_depth", "{status}");
        assert!(status.message().ends_with(&sentence), "{status}");
        let info = status.get_error_details().error_info().cloned().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["limit"].as_str()), ("LIMIT_EXCEEDED", name));
        assert_eq!((&info.metadata["most"], &info.metadata["setting"]), (&most.to_string(), &setting));
    }
}

#[test]
fn no_limit_is_left_out() {
    for limit in ALL {
        assert!(rows().iter().any(|(name, ..)| *name == limit.name), "{} is not tested", limit.name);
    }
}

#[tokio::test]
async fn what_is_not_asked_for_fits_into_low_limits() {
    let mut served = limited().await;
    let calls = [
        search(proto::SearchOptions::default()),
        Expand(proto::ExpandedSearchRequest { bank: bank(), text: text(), ..Default::default() }),
        Generate(proto::GenerateRequest { text: text(), ..Default::default() }),
        List(proto::ListQuestionsRequest { bank: bank(), ..Default::default() }),
        ListBanks(proto::ListBanksRequest::default()),
    ];
    for call in calls {
        call.make(&mut served.client).await.unwrap();
    }
}

#[tokio::test]
async fn the_model_call_tells_the_limits() {
    let mut served = limited().await;
    let model = served.client.embedding.get_model(proto::GetModelRequest {}).await.unwrap().into_inner();
    let told = model.limits.unwrap();
    assert_eq!((told.items, told.hits, told.filter_values, told.text_bytes), (5, 25, 12, 40));
    let set = options();
    assert_eq!((told.message_bytes, told.bulk_batch), (set.max_message_bytes as u64, set.bulk_batch as u32));
    assert_eq!((told.concurrent_calls, told.waiting_calls), (set.max_concurrent, set.max_waiting));
    assert_eq!((told.streams, told.transfers), (set.max_streams, set.max_transfers));
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_taken() {
    const MOST: usize = 64 << 10;
    let mut served = Served::start_with(ServerOptions { max_message_bytes: MOST, ..options() }).await;
    served.create("faq").await.unwrap();
    let request = |answer: usize| {
        let question = proto::Question { answer: Some("x".repeat(answer)), ..numbered(0..1).remove(0) };
        proto::UpsertQuestionsRequest { bank: bank(), questions: vec![question] }
    };
    let answer = 60_000 + MOST - request(60_000).encoded_len();
    assert_eq!(request(answer).encoded_len(), MOST);
    served.client.questions.upsert_questions(request(answer)).await.unwrap();
    let status = served.client.questions.upsert_questions(request(answer + 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(
        status.message().contains("received 65537 bytes") && status.message().contains("`--max-message`"),
        "{status}"
    );
    let info = status.get_error_details().error_info().cloned().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["most"].as_str()), ("MESSAGE_TOO_LARGE", "65536"));
}

#[tokio::test]
async fn options_out_of_range_are_refused() {
    let folder = tempfile::TempDir::new().unwrap();
    let cases = [
        (
            ServerOptions { limits: Limits { hits: 0, ..limits() }, ..options() },
            "the limit `hits`: expected 1 to 10000",
        ),
        (ServerOptions { limits: Limits { samples: 1001, ..limits() }, ..options() }, "the limit `samples`"),
        (ServerOptions { max_connections: 0, ..options() }, "max_connections: expected at least 1"),
        (ServerOptions { max_connection_calls: 0, ..options() }, "max_connection_calls: expected at least 1"),
        (ServerOptions { max_received_bytes: 1 << 20, ..options() }, "max_received_bytes: expected at least 16777216"),
        (ServerOptions { max_message_bytes: 1 << 10, ..options() }, "max_message_bytes: expected at least 65536"),
    ];
    for (options, sentence) in cases {
        let engine = crate::harness::engine(folder.path(), "fake");
        let error = simbert::server::Server::bind(engine, options).await.err().unwrap().to_string();
        assert!(error.starts_with(sentence), "{error}");
    }
}
