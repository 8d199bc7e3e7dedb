//! A server in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use simbert::engine::Engine;
use simbert::server::{Client, ClientOptions, Server, ServerOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::encoder::{FakeEncoder, FakeWriter};

/// Names the folder for the fake server.
const FOLDER: &str = "SIMBERT_TEST_LOAD_FOLDER";
/// How long a server may take until it listens.
const STARTING: Duration = Duration::from_secs(60);

/// Kills the server when dropped.
pub struct Process {
    child: Child,
    pub url: String,
    /// From the start until it listened.
    pub ready_after: Duration,
}

/// What a server with the bundled model is started with, where that can be: its model was exported, and ONNX Runtime is
/// there.
fn real() -> Option<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runtime = std::env::var_os("ORT_DYLIB_PATH").is_some() || root.join("vendor/onnxruntime").is_dir();
    let model = root.join("data/model");
    let exported = |graph: &str| runtime && model.join(graph).is_file();
    let mut options = vec!["--model".to_owned(), model.to_str()?.to_owned()];
    match (exported("encoder.int8.onnx"), exported("encoder.onnx")) {
        (true, _) => options.push("--int8".to_owned()),
        (_, true) => {}
        _ => return None,
    }
    Some(options)
}

/// Whether the model is a real one.
pub fn is_real() -> bool {
    real().is_some()
}

/// The program under test, run where it finds ONNX Runtime.
pub fn simbert() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simbert"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("SIMBERT_DATA").env_remove("SIMBERT_MODEL");
    command
}

impl Process {
    /// Serves the banks of a folder.
    pub fn start(data: &Path) -> Self {
        let mut command = match real() {
            Some(model) => {
                let mut command = simbert();
                command.args(["serve", "--listen", "127.0.0.1:0", "--cache-mib", "4", "--data"]).arg(data).args(model);
                command
            }
            None => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["--exact", "process::fake_server", "--nocapture"]).env(FOLDER, data);
                command
            }
        };
        let started = Instant::now();
        let mut child = command.env("SIMBERT_LOG", "warn").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (found, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines {
                if let Some(address) = line.strip_prefix("listening").and_then(|rest| rest.split_whitespace().next()) {
                    let _ = found.send(address.to_owned());
                }
            }
        });
        let address = address.recv_timeout(STARTING).expect("the server listens");
        Self { child, url: format!("http://{address}"), ready_after: started.elapsed() }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.url, &ClientOptions::default()).await.unwrap()
    }

    /// A file or folder that the system keeps about it.
    pub fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }

    /// Asks it to end. The system's own `kill`, since the standard library sends SIGKILL only.
    pub fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for its end; none where it takes longer than `patience`.
    pub async fn end(mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return Some(status),
                None if Instant::now() > deadline => return None,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait()); // it may have ended
    }
}

/// Not a test of its own: the server with a fake model. Returns at once where nobody started it as that.
#[tokio::test]
async fn fake_server() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let engine = Engine::with_encoder(Path::new(&folder), Arc::new(FakeEncoder::new("fake"))).unwrap();
    let engine = engine.with_writer(Arc::new(FakeWriter::default()));
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::bind(engine, ServerOptions { listen, ..ServerOptions::default() }).await.unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    println!("\nlistening {}", server.address());
    server.run(async move { _ = terminate.recv().await }).await.unwrap();
}
