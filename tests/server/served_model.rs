//! The binary with a real model. Returns at once where there is none, or no ONNX Runtime.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use simbert::server::{ApiKey, ClientOptions, KeyEntry, Role, proto};
use tempfile::TempDir;

use crate::certificates::{Authority, replace};
use crate::harness::{connect, connect_as, model};

fn runtime_is_there() -> bool {
    std::env::var_os("ORT_DYLIB_PATH").is_some()
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor/onnxruntime").is_dir()
}

/// The bundled model, exported once for all tests.
pub fn exported() -> Option<PathBuf> {
    static MODEL: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let model = model().filter(|_| runtime_is_there())?;
        simbert::onnx::export(&simbert::model::ModelDirectory::open(&model).unwrap()).unwrap();
        Some(model)
    });
    MODEL.clone()
}

/// The binary that serves it, as its own process.
struct Binary {
    child: Child,
    address: SocketAddr,
    /// What it says after it listens.
    lines: Box<dyn Iterator<Item = String> + Send>,
    _data: TempDir,
}

impl Binary {
    fn start(model: &Path, arguments: &[&OsStr]) -> Self {
        let data = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_simbert"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .arg("--model")
            .arg(model)
            .args(arguments)
            .stdin(Stdio::null()) // no terminal: a service
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address =
            lines.find_map(|line| Some(line.strip_prefix("listening")?.split_whitespace().next()?.to_owned()));
        Self { child, address: address.unwrap().parse().unwrap(), lines: Box::new(lines), _data: data }
    }

    /// Sends a signal by the system's own `kill`, since the standard library sends SIGKILL only.
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Has it end by itself.
    async fn stop(mut self) {
        self.signal("-TERM");
        let ended = tokio::task::spawn_blocking(move || (self.child.wait(), self.lines.collect::<Vec<_>>()));
        let (ended, lines) = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap().unwrap();
        assert!(ended.unwrap().success());
        assert!(lines.iter().any(|line| line.starts_with("stopped")), "{lines:?}");
    }
}

/// What `simbert health` says of a server: its exit code, output and error.
fn health(address: SocketAddr) -> (Option<i32>, String, String) {
    let url = format!("http://{address}");
    let output = Command::new(env!("CARGO_BIN_EXE_simbert")).args(["health", "--server", &url]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_binary_serves_a_model_and_stops_on_sigterm() {
    let Some(model) = exported() else { return };
    let served = Binary::start(&model, &[]);
    let mut client = connect(served.address).await;
    let create = proto::CreateBankRequest { name: "faq".to_owned(), ..Default::default() };
    client.banks.create_bank(create).await.unwrap();
    let questions = crate::harness::questions();
    client
        .questions
        .upsert_questions(proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions })
        .await
        .unwrap();
    let sampling = Some(proto::Sampling { samples: Some(16), ..Default::default() });
    let generate =
        proto::GenerateRequest { text: "手机没有信号怎么办".to_owned(), sampling, ..Default::default() };
    let once = client.paraphrases.generate(generate.clone()).await.unwrap().into_inner();
    let twice = client.paraphrases.generate(generate).await.unwrap().into_inner();
    assert_eq!(once.paraphrases, twice.paraphrases, "the same seed gives the same questions");
    let expand = proto::ExpandedSearchRequest {
        bank: "faq".to_owned(),
        text: "手机没信号".to_owned(),
        sampling,
        ..Default::default()
    };
    let expanded = client.search.expanded_search(expand).await.unwrap().into_inner();
    assert_eq!(expanded.hits[0].question.as_ref().unwrap().id, "q4");

    served.signal("-HUP"); // there is nothing to read again, and no terminal that was closed
    let address = served.address;
    assert_eq!(health(address), (Some(0), "serving\n".to_owned(), String::new()));
    served.stop().await;
    let (code, _, error) = health(address);
    assert!(code == Some(1) && error.contains(&format!("server `http://{address}`")), "{code:?} {error}");
}

#[tokio::test]
async fn a_hangup_reads_certificates_and_keys_again() {
    let Some(model) = exported() else { return };
    let (old, new, folder) = (Authority::new(), Authority::new(), TempDir::new().unwrap());
    let (files, keys) = (old.server(), folder.path().join("keys.toml"));
    let add = |name| {
        let key = ApiKey::random().unwrap();
        KeyEntry::new(name, &key, Role::Read, None).unwrap().append(&keys).unwrap();
        key
    };
    let as_one = |authority: &Authority, key: &ApiKey| ClientOptions {
        tls: Some(authority.client()),
        api_key: Some(key.clone()),
        ..ClientOptions::default()
    };
    let first = add("first");
    let flags = ["--tls-cert", "--tls-key", "--keys"].map(OsStr::new);
    let paths = [&files.certificate, &files.key, &keys].map(|path| path.as_os_str());
    let served = Binary::start(&model, &flags.into_iter().zip(paths).flat_map(<[_; 2]>::from).collect::<Vec<_>>());
    let mut client = connect_as(served.address, &as_one(&old, &first)).await.unwrap();
    client.embedding.get_model(proto::GetModelRequest {}).await.unwrap();

    let second = add("second");
    let renewed = new.server();
    replace(&files.certificate, &renewed.certificate);
    replace(&files.key, &renewed.key);
    served.signal("-HUP");
    let ask = async || {
        let mut client = connect_as(served.address, &as_one(&new, &second)).await.map_err(|e| e.to_string())?;
        client.embedding.get_model(proto::GetModelRequest {}).await.map_err(|e| e.to_string())
    };
    for round in 0.. {
        match ask().await {
            Ok(_) => break,
            Err(error) => assert!(round < 100, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.embedding.get_model(proto::GetModelRequest {}).await.unwrap();
    drop(client);
    served.stop().await;
}
