//! API keys: every role against every method, banks that are none of a key's business, and that no key is ever shown.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use prost_reflect::DescriptorPool;
use simbert::engine::BankName;
use simbert::server::{ApiKey, Client, ClientOptions, KeyEntry, Role, Server, ServerOptions, proto};
use tempfile::TempDir;
use tokio_stream::iter;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::harness::{Served, assert_status, connect_as, engine, numbered, options, run, said, text_query};

/// What each role adds to those before it. A new method stands here, too.
const READ: &[&str] = &[
    "BankService/GetBank",
    "BankService/ListBanks",
    "BankService/MapBank",
    "EmbeddingService/Embed",
    "EmbeddingService/GetModel",
    "ParaphraseService/Generate",
    "ParaphraseService/GenerateMany",
    "QuestionService/GetQuestions",
    "QuestionService/ListQuestions",
    "SearchService/Search",
    "SearchService/BatchSearch",
    "SearchService/ExpandedSearch",
];
const WRITE: &[&str] =
    &["QuestionService/UpsertQuestions", "QuestionService/BulkUpsertQuestions", "QuestionService/DeleteQuestions"];
const ADMIN: &[&str] =
    &["BankService/CreateBank", "BankService/DeleteBank", "BankService/TakeSnapshot", "BankService/RestoreBank"];

/// A file of keys.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keys.toml")
    }

    fn add(&self, name: &str, role: Role, banks: &[&str]) -> ApiKey {
        let key = ApiKey::random().unwrap();
        let banks = banks.iter().map(|&bank| BankName::new(bank).unwrap()).collect();
        let entry =
            KeyEntry::new(name, &key, role, Some(banks).filter(|b: &std::collections::BTreeSet<_>| !b.is_empty()));
        entry.unwrap().append(&self.path()).unwrap();
        key
    }
}

fn by(key: &ApiKey) -> ClientOptions {
    ClientOptions { api_key: Some(key.clone()), ..ClientOptions::default() }
}

/// A server with these keys, for a client with one of them.
async fn serve(keys: &Keys, client: &ApiKey) -> Served {
    let folder = Arc::new(TempDir::new().unwrap());
    let options = ServerOptions { keys: Some(keys.path()), ..options() };
    Served::serve_to(engine(folder.path(), "fake"), folder, options, &by(client)).await
}

/// The status of a call with an empty message, which each method either refuses or answers.
async fn code(served: &Served, path: &str, header: Option<&str>) -> Result<(), Status> {
    let mut grpc = Grpc::new(served.client.channel());
    grpc.ready().await.unwrap();
    let mut request = Request::new(iter([()]));
    if let Some(header) = header {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(header).unwrap());
    }
    let codec = ProstCodec::<(), ()>::default();
    let path = PathAndQuery::try_from(path).unwrap();
    grpc.streaming(request, path, codec).await?.into_inner().message().await.map(|_| ())
}

#[tokio::test]
async fn each_role_may_call_what_is_its_own_and_what_is_below() {
    let keys = Keys::new();
    let roles = [Role::Read, Role::Write, Role::Admin];
    let each = roles.map(|role| (role, keys.add(&role.to_string(), role, &[])));
    let served = serve(&keys, &each[0].1).await;
    let needs = |methods: &'static [&str], role| methods.iter().map(move |&method| (method, role));
    let needs: Vec<_> =
        needs(READ, Role::Read).chain(needs(WRITE, Role::Write)).chain(needs(ADMIN, Role::Admin)).collect();
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let mut tried = 0;
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let (_, need) = needs.iter().find(|(known, _)| path == format!("/simbert.v1.{known}")).expect(&path);
        for (has, key) in &each {
            let answer = code(&served, &path, Some(&format!("Bearer {}", key.reveal()))).await;
            let denied = answer.as_ref().is_err_and(|status| status.code() == Code::PermissionDenied);
            assert_eq!(denied, has < need, "{path} with {has}: {answer:?}");
            if denied {
                let sentence = format!(
                    "{} needs a key with the role `{need}`; the key `{has}` has the role `{has}`",
                    method.name()
                );
                assert_status(answer, Code::PermissionDenied, &sentence);
            } else {
                let code = answer.as_ref().map_or_else(Status::code, |()| Code::Ok);
                assert!(
                    [Code::Ok, Code::InvalidArgument, Code::FailedPrecondition].contains(&code),
                    "{path}: {answer:?}"
                );
            }
        }
        for wrong in [None, Some("Bearer simbert_0000"), Some("Basic eDp5")] {
            assert_status(code(&served, &path, wrong).await, Code::Unauthenticated, "");
        }
        tried += 1;
    }
    assert_eq!(tried, needs.len());
    served.stop().await;
}

#[tokio::test]
async fn health_and_reflection_answer_without_a_key_and_unknown_methods_never() {
    let keys = Keys::new();
    let admin = keys.add("operator", Role::Admin, &[]);
    let served = serve(&keys, &admin).await;
    let mut health = HealthClient::new(served.client.channel());
    health.check(HealthCheckRequest { service: String::new() }).await.unwrap();
    let mut reflection = ServerReflectionClient::new(served.client.channel());
    let list = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let replies = reflection.server_reflection_info(iter([request])).await.unwrap();
    replies.into_inner().message().await.unwrap().unwrap();
    for path in
        ["/simbert.v1.BankService/Ruin", "/simbert.v1.Bankservice/ListBanks", "/simbert.v1.BankService/ListBanks/"]
    {
        let header = format!("Bearer {}", admin.reveal());
        assert_status(code(&served, path, Some(&header)).await, Code::Unimplemented, "there is no method");
    }
    served.stop().await;
}

#[tokio::test]
async fn without_a_file_of_keys_everybody_may_do_everything() {
    let mut served = Served::with_questions().await;
    let bank = served.create("other").await.unwrap();
    assert_eq!(bank.name, "other");
    code(&served, "/simbert.v1.BankService/ListBanks", Some("Bearer whatever")).await.unwrap();
    served.stop().await;
}

/// Whether a client is refused at a bank, by each method that names one.
async fn refused_at(client: &mut Client, bank: &str) -> Vec<(&'static str, bool)> {
    let bank = || bank.to_owned();
    let mut found: Vec<(&'static str, bool)> = Vec::new();
    let denied = |status: &Status| {
        let told = status.message().contains(&format!("is for other banks than `{}`", bank()));
        assert_eq!(told, status.code() == Code::PermissionDenied, "{status:?}");
        told
    };
    macro_rules! ask {
        ($method:literal, $call:expr) => {
            found.push(($method, $call.await.as_ref().err().is_some_and(denied)))
        };
    }
    ask!("GetBank", client.banks.get_bank(proto::GetBankRequest { name: bank() }));
    let search = proto::SearchRequest { bank: bank(), query: text_query("手机"), options: None };
    ask!("Search", client.search.search(search));
    let queries = text_query("手机").into_iter().collect();
    ask!("BatchSearch", client.search.batch_search(proto::BatchSearchRequest { bank: bank(), queries, options: None }));
    let expanded = proto::ExpandedSearchRequest { bank: bank(), text: "手机".to_owned(), ..Default::default() };
    ask!("ExpandedSearch", client.search.expanded_search(expanded));
    let ids = || vec!["n00000".to_owned()];
    ask!(
        "GetQuestions",
        client.questions.get_questions(proto::GetQuestionsRequest { bank: bank(), ids: ids(), read_mask: None })
    );
    let list = proto::ListQuestionsRequest { bank: bank(), ..Default::default() };
    ask!("ListQuestions", client.questions.list_questions(list));
    let upsert = proto::UpsertQuestionsRequest { bank: bank(), questions: numbered(0..1) };
    ask!("UpsertQuestions", client.questions.upsert_questions(upsert));
    let bulk = proto::BulkUpsertQuestionsRequest { bank: bank(), questions: numbered(1..2) };
    let bulk = client.questions.bulk_upsert_questions(iter([bulk])).await;
    ask!("BulkUpsertQuestions", async { bulk?.into_inner().message().await });
    ask!(
        "DeleteQuestions",
        client.questions.delete_questions(proto::DeleteQuestionsRequest { bank: bank(), ids: ids() })
    );
    let map = proto::MapBankRequest { name: bank(), ..Default::default() };
    ask!("MapBank", client.banks.map_bank(map));
    let taken = client.banks.take_snapshot(proto::TakeSnapshotRequest { name: bank() }).await;
    ask!("TakeSnapshot", async { taken?.into_inner().message().await });
    let restore = proto::RestoreBankRequest { name: bank(), chunk: b"no snapshot".to_vec() };
    ask!("RestoreBank", client.banks.restore_bank(iter([restore])));
    let create = proto::CreateBankRequest { name: bank(), ..Default::default() };
    ask!("CreateBank", client.banks.create_bank(create));
    ask!("DeleteBank", client.banks.delete_bank(proto::DeleteBankRequest { name: bank(), allow_missing: false }));
    found
}

async fn listed(client: &mut Client) -> Vec<String> {
    let list = client.banks.list_banks(proto::ListBanksRequest::default()).await.unwrap().into_inner();
    list.banks.into_iter().map(|bank| bank.name).collect()
}

#[tokio::test]
async fn a_key_for_some_banks_sees_and_touches_no_other() {
    let keys = Keys::new();
    let operator = keys.add("operator", Role::Admin, &[]);
    let limited = keys.add("team", Role::Admin, &["faq", "faq-new"]);
    let mut served = serve(&keys, &operator).await;
    for bank in ["faq", "hr", "faq-"] {
        served.create(bank).await.unwrap();
    }
    let mut client = connect_as(served.address, &by(&limited)).await.unwrap();
    assert_eq!(listed(&mut client).await, ["faq"]);
    for other in ["hr", "faq-", "none"] {
        let refused = refused_at(&mut client, other).await;
        assert!(refused.iter().all(|(_, refused)| *refused), "{other}: {refused:?}");
    }
    // Nothing was touched, and the client's own is its own.
    assert_eq!(listed(&mut served.client).await, ["faq", "faq-", "hr"]);
    for own in ["faq", "faq-new"] {
        let refused = refused_at(&mut client, own).await;
        assert!(refused.iter().all(|(_, refused)| !*refused), "{own}: {refused:?}");
    }
    assert_eq!(listed(&mut served.client).await, ["faq-", "hr"]);
    served.stop().await;
}

#[tokio::test]
async fn a_snapshot_does_not_name_the_bank_for_a_key_of_some() {
    let keys = Keys::new();
    let operator = keys.add("operator", Role::Admin, &[]);
    let limited = keys.add("team", Role::Admin, &["faq"]);
    let served = serve(&keys, &operator).await;
    let mut client = connect_as(served.address, &by(&limited)).await.unwrap();
    let unnamed = || iter([proto::RestoreBankRequest { name: String::new(), chunk: b"no snapshot".to_vec() }]);
    let answer = client.banks.restore_bank(unnamed()).await;
    assert_status(answer, Code::PermissionDenied, "the key `team` is for some banks only, so name the bank");
    let mut client = served.client.clone();
    assert_status(client.banks.restore_bank(unnamed()).await, Code::InvalidArgument, "");
    served.stop().await;
}

#[tokio::test]
async fn keys_come_and_go_while_the_server_runs() {
    let keys = Keys::new();
    let first = keys.add("first", Role::Read, &[]);
    let mut served = serve(&keys, &first).await;
    let list = proto::ListBanksRequest::default();
    served.client.banks.list_banks(list.clone()).await.unwrap();
    let second = keys.add("second", Role::Read, &[]);
    let mut client = connect_as(served.address, &by(&second)).await.unwrap();
    assert_status(client.banks.list_banks(list.clone()).await, Code::Unauthenticated, "none of this server's");
    served.renewal.run();
    client.banks.list_banks(list.clone()).await.unwrap();

    let text = std::fs::read_to_string(keys.path()).unwrap();
    std::fs::write(keys.path(), format!("{text}\nnonsense")).unwrap();
    served.renewal.run();
    client.banks.list_banks(list.clone()).await.unwrap();
    served.client.banks.list_banks(list.clone()).await.unwrap();
    std::fs::write(keys.path(), text.split_at(text.rfind("[[key]]").unwrap()).1).unwrap();
    served.renewal.run();
    client.banks.list_banks(list.clone()).await.unwrap();
    assert_status(served.client.banks.list_banks(list.clone()).await, Code::Unauthenticated, "none of this server's");
    served.stop().await;
}

#[tokio::test]
async fn a_bad_file_of_keys_starts_no_server() {
    let (keys, data) = (Keys::new(), TempDir::new().unwrap());
    let bind = || Server::bind(engine(data.path(), "fake"), ServerOptions { keys: Some(keys.path()), ..options() });
    let missing = bind().await.err().unwrap().to_string();
    assert!(missing.contains("keys.toml: cannot read the file of keys"), "{missing}");
    std::fs::write(keys.path(), "[[key]]\nname = \"a\"\nrole = \"king\"\n").unwrap();
    let wrong = bind().await.err().unwrap().to_string();
    assert!(wrong.contains("keys.toml:3: unknown variant `king`, expected one of `read`, `write`, `admin`"), "{wrong}");
}

#[tokio::test]
async fn the_command_makes_keys_that_the_server_takes() {
    let (keys, elsewhere) = (Keys::new(), TempDir::new().unwrap());
    let file = keys.path().to_str().unwrap().to_owned();
    let new = async |arguments: &[&str]| said(run(elsewhere.path(), &[&["keys", "new"], arguments].concat()).await);
    let key = new(&["team", "--role", "write", "--bank", "faq", "--file", &file]).await.unwrap();
    let key = ApiKey::new(key.trim_end()).unwrap();
    let operator =
        ApiKey::new(new(&["operator", "--role", "admin", "--file", &file]).await.unwrap().trim_end()).unwrap();
    let mut served = serve(&keys, &operator).await;
    served.create("faq").await.unwrap();
    let mut client = connect_as(served.address, &by(&key)).await.unwrap();
    let upsert = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions: numbered(0..3) };
    client.questions.upsert_questions(upsert).await.unwrap();

    let printed = new(&["shown", "--role", "read"]).await.unwrap();
    let (key, entry) = printed.split_once("\n\n").unwrap();
    assert!(
        entry.starts_with("[[key]]\nname = \"shown\"\nrole = \"read\"\nsha256 = ") && !entry.contains(key),
        "{printed}"
    );
    let (code, again) = new(&["team", "--role", "read", "--file", &file]).await.unwrap_err();
    assert!(code == Some(1) && again.contains("key `team` already exists"), "{again}");
    let (code, role) = new(&["x", "--role", "root"]).await.unwrap_err();
    assert!(code == Some(2) && role.contains("expected `read`, `write` or `admin`, received `root`"), "{role}");

    // The other commands show a key that lies in a file.
    let (url, target) = (format!("http://{}", served.address), elsewhere.path().join("faq.bank"));
    let snapshot = ["bank", "snapshot", "faq", target.to_str().unwrap(), "--server", &url];
    let (code, refused) = said(run(elsewhere.path(), &snapshot).await).unwrap_err();
    assert!(code == Some(1) && refused.contains("Unauthenticated: this server asks for an API key"), "{refused}");
    let secret = elsewhere.path().join("secret");
    std::fs::write(&secret, format!("{}\n", operator.reveal())).unwrap();
    let with_key = [&snapshot[..], &["--api-key-file", secret.to_str().unwrap()]].concat();
    assert!(said(run(elsewhere.path(), &with_key).await).unwrap().contains("3 questions copied"));
    served.stop().await;
}

/// Names the file of keys for the server that [`no_key_is_ever_in_the_log`] starts.
const CHILD: &str = "SIMBERT_TEST_CHILD_KEYS";

/// Not a test of its own: it is a server that says all that it can, and returns at once where nobody asks for it.
#[tokio::test]
async fn child_server_with_keys() {
    let Some(keys) = std::env::var_os(CHILD) else { return };
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).init();
    let data = TempDir::new().unwrap();
    let options = ServerOptions { keys: Some(keys.into()), ..options() };
    tracing::info!(?options, "as it was told");
    let server = Server::bind(engine(data.path(), "fake"), options).await.unwrap();
    println!("\nlistening {}", server.address());
    let (renewal, client) = (server.renewal(), server.address());
    renewal.run();
    // A client in the same process, so that its side of the line is in the log, too.
    let key = std::env::var("SIMBERT_TEST_CHILD_KEY").map(|key| ApiKey::new(key).unwrap()).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(server.run(async { _ = stopped.await }));
    let options = by(&key);
    let mut own = connect_as(client, &options).await.unwrap();
    tracing::info!(?options, ?own, "a client");
    assert!(listed(&mut own).await.is_empty());
    println!("\nready");
    let mut line = String::new();
    tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line)).await.unwrap().unwrap();
    drop(own);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_key_is_ever_in_the_log() {
    let keys = Keys::new();
    let reader = keys.add("search-page", Role::Read, &["faq"]);
    let wrong = ApiKey::random().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "access::child_server_with_keys", "--nocapture"])
        .env(CHILD, keys.path())
        .env("SIMBERT_TEST_CHILD_KEY", reader.reveal())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |from: Box<dyn std::io::Read + Send>, sender: tokio::sync::mpsc::UnboundedSender<String>| {
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        })
    };
    read(Box::new(out), sender.clone());
    read(Box::new(err), sender);
    let (mut log, mut address) = (Vec::new(), None);
    while let Some(line) = lines.recv().await {
        if let Some(found) = line.strip_prefix("listening ") {
            address = Some(found.to_owned());
        }
        let ready = line == "ready";
        log.push(line);
        if ready {
            break;
        }
    }
    let address = address.unwrap_or_else(|| panic!("{}", log.join("\n"))).parse().unwrap();
    for key in [&reader, &wrong] {
        let mut client = connect_as(address, &by(key)).await.unwrap();
        let status = client.banks.get_bank(proto::GetBankRequest { name: "hr".to_owned() }).await.unwrap_err();
        assert!(!format!("{status:?}").contains(key.reveal()));
        let search = proto::SearchRequest { bank: "faq".to_owned(), query: text_query("手机"), options: None };
        client.search.search(search).await.unwrap_err();
    }
    drop(child.stdin.take());
    while let Some(line) = lines.recv().await {
        log.push(line);
    }
    assert!(child.wait().unwrap().success());
    let log = log.join("\n");
    assert!(log.contains("caller=\"search-page\"") && log.contains("TRACE") && log.contains("h2::"), "{log}");
    for secret in [&reader, &wrong] {
        assert!(!log.contains(secret.reveal()) && !log.contains(&secret.reveal()[8..40]), "a key is in the log");
    }
}

#[test]
fn what_is_set_is_shown_without_the_key() {
    let key = ApiKey::random().unwrap();
    let options = by(&key);
    assert!(format!("{options:?}").contains("ApiKey(…)"));
    assert!(options == by(&key) && options != by(&ApiKey::random().unwrap()));
}
