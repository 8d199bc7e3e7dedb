//! Starts a server in a folder of its own, and makes short work of requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use simbert::engine::Engine;
use simbert::server::proto::{self, metadata_value, query};
use simbert::server::{Client, ClientOptions, Server, ServerOptions};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};

use crate::encoder::{FakeEncoder, FakeWriter};

/// A running server and a client that is connected to it.
pub struct Served {
    pub client: Client,
    pub address: SocketAddr,
    /// Where it listens for HTTP, if `options` say so.
    pub http: Option<SocketAddr>,
    pub folder: Arc<TempDir>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<simbert::Result<()>>,
}

/// Options for a test: a free port, so that tests run side by side.
pub fn options() -> ServerOptions {
    ServerOptions { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), max_concurrent: 2, ..ServerOptions::default() }
}

/// The same with a port for HTTP.
pub fn http_options() -> ServerOptions {
    ServerOptions { http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), ..options() }
}

/// An engine over `folder` whose encoder is the fake one.
pub fn engine(folder: &Path, fingerprint: &str) -> Engine {
    Engine::with_encoder(folder, Arc::new(FakeEncoder::new(fingerprint))).unwrap()
}

impl Served {
    pub async fn start() -> Self {
        Self::start_with(options()).await
    }

    pub async fn start_with(options: ServerOptions) -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), options).await
    }

    pub async fn start_in(folder: Arc<TempDir>, options: ServerOptions) -> Self {
        Self::serve(engine(folder.path(), "fake"), folder, options).await
    }

    pub async fn serve(engine: Engine, folder: Arc<TempDir>, options: ServerOptions) -> Self {
        let server = Server::bind(engine, options).await.unwrap();
        let (address, http) = (server.address(), server.http_address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async { _ = stopped.await }));
        Self { client: connect(address).await, address, http, folder, stop, running }
    }

    /// A server with an empty bank `faq`.
    pub async fn with_bank() -> Self {
        let mut served = Self::start().await;
        served.create("faq").await.unwrap();
        served
    }

    /// A server with a bank `faq` that holds [`questions`].
    pub async fn with_questions() -> Self {
        let mut served = Self::with_bank().await;
        served.upsert(questions()).await.unwrap();
        served
    }

    pub async fn create(&mut self, name: &str) -> Result<proto::Bank, Status> {
        let request =
            proto::CreateBankRequest { name: name.to_owned(), description: "a bank".to_owned(), ..Default::default() };
        Ok(self.client.banks.create_bank(request).await?.into_inner().bank.unwrap())
    }

    pub async fn upsert(&mut self, questions: Vec<proto::Question>) -> Result<proto::UpsertQuestionsResponse, Status> {
        let request = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions };
        self.client.questions.upsert_questions(request).await.map(Response::into_inner)
    }

    /// The ids of all questions, read in pages of `size`.
    pub async fn ids(&mut self, size: u32) -> Vec<String> {
        let mut ids = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = proto::ListQuestionsRequest { bank: "faq".to_owned(), page_size: Some(size), page_token };
            let page = self.client.questions.list_questions(request).await.unwrap().into_inner();
            assert!(page.questions.len() <= size as usize);
            ids.extend(page.questions.into_iter().map(|question| question.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return ids;
            }
        }
    }

    /// The same folder behind a server that can also write similar questions.
    pub async fn with_writer(self) -> Self {
        self.with_the_writer(FakeWriter::default()).await
    }

    /// The same with a writer that the test keeps an eye on.
    pub async fn with_the_writer(self, writer: FakeWriter) -> Self {
        let folder = self.stop().await;
        let engine = engine(folder.path(), "fake").with_writer(Arc::new(writer));
        Self::serve(engine, folder, options()).await
    }

    /// Asks the server to shut down without waiting for it.
    pub fn begin_stop(self) -> JoinHandle<simbert::Result<()>> {
        self.stop.send(()).unwrap();
        self.running
    }

    /// Shuts the server down and leaves its folder.
    pub async fn stop(self) -> Arc<TempDir> {
        let folder = self.folder.clone();
        self.begin_stop().await.unwrap().unwrap();
        folder
    }
}

pub async fn connect(address: SocketAddr) -> Client {
    Client::connect(format!("http://{address}"), &ClientOptions::default()).await.unwrap()
}

/// A question with an FAQ, an answer and metadata.
pub fn question(id: &str, text: &str, faq: &str, domain: &str, price: f64) -> proto::Question {
    let value = |kind| proto::MetadataValue { kind: Some(kind) };
    proto::Question {
        id: id.to_owned(),
        text: text.to_owned(),
        faq_id: Some(faq.to_owned()),
        answer: Some(format!("answer to {text}")),
        metadata: [
            ("domain".to_owned(), value(metadata_value::Kind::Text(domain.to_owned()))),
            ("price".to_owned(), value(metadata_value::Kind::Number(price))),
            ("active".to_owned(), value(metadata_value::Kind::Flag(price > 1.0))),
        ]
        .into(),
    }
}

/// A small bank of two domains.
pub fn questions() -> Vec<proto::Question> {
    vec![
        question("q1", "银行卡丢了怎么挂失", "card", "bank", 1.0),
        question("q2", "银行卡丢了怎么办", "card", "bank", 2.0),
        question("q3", "怎么重置密码", "password", "bank", 3.0),
        question("q4", "手机没有信号怎么办", "signal", "phone", 4.0),
        question("q5", "手机流量不够用", "data", "phone", 5.0),
    ]
}

pub fn numbered(range: std::ops::Range<usize>) -> Vec<proto::Question> {
    let question =
        |i| proto::Question { id: format!("n{i:05}"), text: format!("第{i}个问题"), ..Default::default() };
    range.map(question).collect()
}

pub fn text_query(text: &str) -> Option<proto::Query> {
    Some(proto::Query { kind: Some(query::Kind::Text(text.to_owned())) })
}

/// Asserts the code, and that the sentence has `part` in it.
#[track_caller]
pub fn assert_status<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, part: &str) {
    let status = result.expect_err("the call should fail");
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(part), "`{}` should say `{part}`", status.message());
}

/// The model directory of the checkout, where there is one that can be served.
pub fn model() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/model");
    root.join("model.safetensors").is_file().then_some(root)
}
