//! Traces, as a collector gets them. The server runs in a process of its own, which keeps traces of all its threads.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use simbert::server::{Server, TraceOptions, Traces, proto};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::harness::{connect, engine, options, questions, text_query};

/// Names the folder and the collector for the server that the tests start.
const FOLDER: &str = "SIMBERT_TEST_TRACES_FOLDER";
const COLLECTOR: &str = "SIMBERT_TEST_TRACES_COLLECTOR";

/// Not a test of its own: it is the server whose traces the tests look at, and returns at once otherwise. It stops when
/// its input ends.
#[tokio::test]
async fn child_server() {
    let (Some(folder), Ok(endpoint)) = (std::env::var_os(FOLDER), std::env::var(COLLECTOR)) else { return };
    let traces = Traces::start(&TraceOptions { endpoint, ratio: 1.0 }).unwrap();
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(log.with_filter(LevelFilter::WARN)).with(traces.layer()).init();
    let server = Server::bind(engine(folder.as_ref(), "fake"), options()).await.unwrap();
    println!("\nlistening {}", server.address());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        stop.send(()).unwrap();
    });
    server.run(async { stopped.await.unwrap() }).await.unwrap();
    tokio::task::spawn_blocking(move || traces.end()).await.unwrap();
}

/// That server.
struct Traced {
    child: Child,
    input: ChildStdin,
    address: SocketAddr,
    /// Kept open, as it goes on to write there.
    _output: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Traced {
    fn start(collector: SocketAddr) -> Self {
        let folder = TempDir::new().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "traces::child_server", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(COLLECTOR, format!("http://{collector}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.by_ref().lines().map_while(Result::ok);
        let address = { lines }.find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
        let input = child.stdin.take().unwrap();
        Self { child, input, address: address.unwrap().parse().unwrap(), _output: output, _folder: folder }
    }

    /// Stops it; what it said to standard error.
    fn stop(mut self) -> String {
        drop(self.input);
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

/// Keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            assert!(attributes.iter().any(|a| a.key == "service.name" && format!("{a:?}").contains("simbert")));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        (collector, address)
    }

    fn named(&self, name: &str) -> Vec<Span> {
        self.0.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }
}

fn search(bank: &str, parent: Option<&str>) -> Request<proto::SearchRequest> {
    let mut request =
        Request::new(proto::SearchRequest { bank: bank.to_owned(), query: text_query("手机"), options: None });
    if let Some(parent) = parent {
        request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    }
    request
}

const SEARCH: &str = "simbert.v1.SearchService/Search";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_its_stages_are_in_the_trace_of_the_caller() {
    let (collector, address) = Collector::start().await;
    let traced = Traced::start(address);
    let mut client = connect(traced.address).await;
    let create = proto::CreateBankRequest { name: "faq".to_owned(), ..Default::default() };
    client.banks.create_bank(create).await.unwrap();
    let upsert = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions: questions() };
    client.questions.upsert_questions(upsert).await.unwrap();
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    client.search.search(search("faq", Some(&format!("00-{trace}-{span}-01")))).await.unwrap();
    client.search.search(search("faq", Some(&format!("00-{trace}-{span}-00")))).await.unwrap(); // not to be kept
    client.search.search(search("nobody", None)).await.unwrap_err();
    // At once, so that what is not sent yet has to be sent at the end.
    assert_eq!(traced.stop(), "");

    let calls = collector.named(SEARCH);
    assert_eq!(calls.len(), 2, "{calls:#?}");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (followed, own): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| hex(&call.trace_id) == trace);
    let (followed, own) = (&followed[0], &own[0]);
    assert_eq!((hex(&followed.parent_span_id), followed.kind().as_str_name()), (span.to_owned(), "SPAN_KIND_SERVER"));
    let attribute = |span: &Span, key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key == key);
        format!("{:?}", found.unwrap_or_else(|| panic!("{key} of {span:#?}")).value)
    };
    assert!(attribute(followed, "rpc.method").contains("Search"));
    assert!(attribute(followed, "rpc.grpc.status_code").contains("IntValue(0)"));
    assert!(attribute(own, "rpc.grpc.status_code").contains("IntValue(5)"));
    assert!(own.parent_span_id.is_empty());
    assert!(own.status.as_ref().is_none_or(|status| status.code == 0), "not found is no fault of the server");
    for stage in ["queue", "search"] {
        let stages = collector.named(stage);
        let ours: Vec<_> = stages.iter().filter(|stage| stage.parent_span_id == followed.span_id).collect();
        assert_eq!((ours.len(), &ours[0].trace_id), (1, &followed.trace_id), "{stage}");
        assert!(ours[0].start_time_unix_nano >= followed.start_time_unix_nano);
        assert!(ours[0].end_time_unix_nano <= followed.end_time_unix_nano);
    }
    assert_eq!(collector.named("store").len(), 1);
    let all = format!("{:?}", collector.0.lock().unwrap());
    assert!(!all.contains("手机") && !all.contains("银行卡"), "texts stay here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_one_warning() {
    // An address that nobody listens at.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let traced = Traced::start(address);
    let mut client = connect(traced.address).await;
    for _ in 0..3 {
        for _ in 0..20 {
            client.search.search(search("nobody", None)).await.unwrap_err();
        }
        tokio::time::sleep(Duration::from_millis(2200)).await; // longer than spans wait to be sent together
    }
    let started = Instant::now();
    let log = traced.stop();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(log.matches("traces cannot be sent").count(), 1, "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}
