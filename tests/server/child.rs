//! A server in a process of its own, so that it can be killed, and its memory and its processor time be watched.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use simbert::server::Server;

use crate::harness::{engine, options};

/// Names the folder for the server that [`Child`] starts, and its options.
const FOLDER: &str = "SIMBERT_TEST_CHILD_FOLDER";
const OPTIONS: &str = "SIMBERT_TEST_CHILD_OPTIONS";

/// Not a test of its own: it is the server that others watch, and returns at once otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut options = options();
    for option in std::env::var(OPTIONS).unwrap().split_terminator(' ') {
        let (name, number) = option.split_once('=').unwrap();
        let number: usize = number.parse().unwrap();
        match name {
            "bulk_batch" => options.bulk_batch = number,
            "max_streams" => options.max_streams = number as u32,
            "max_message_bytes" => options.max_message_bytes = number,
            "max_received_bytes" => options.max_received_bytes = number,
            "max_unread_bytes" => options.max_unread_bytes = number,
            "header_milliseconds" => options.header_timeout = Duration::from_millis(number as u64),
            "files" => limit_files(number as u64),
            _ => panic!("{name} is no option of a child"),
        }
    }
    let server = Server::bind(engine(folder.as_ref(), "fake"), options).await.unwrap();
    println!("\nlistening {}", server.address());
    server.run(std::future::pending()).await.unwrap();
}

fn limit_files(most: u64) {
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) }).unwrap();
}

/// Lets this process open as many files as the system allows; says how many.
pub fn open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Another process of this test binary that runs one of its tests. It ends with this.
pub struct Process {
    process: std::process::Child,
    /// Open until the end: a test binary that cannot write ends.
    _lines: Lines<BufReader<ChildStdout>>,
    /// What it said after `word`.
    pub said: String,
}

impl Process {
    /// Runs a test until it prints a line that begins with `word`.
    pub fn start(test: &str, word: &str, variables: &[(&str, &OsStr)]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = lines.by_ref().map_while(Result::ok);
        let said = said.filter_map(|line| Some(line.strip_prefix(word)?.trim().to_owned())).next();
        Self { process, _lines: lines, said: said.expect(word) }
    }

    /// Bytes that it had in memory at most.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Bytes that it has in memory.
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Processor time that it has used. Source: proc(5); the clock ticks 100 times a second on Linux.
    pub fn busy(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Kills it, as the system would.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a server over a folder, with options like `max_streams=1`.
pub fn server(folder: &Path, options: &str) -> (Process, SocketAddr) {
    let variables = [(FOLDER, folder.as_os_str()), (OPTIONS, OsStr::new(options))];
    let process = Process::start("child::serve", "listening ", &variables);
    let address = process.said.parse().unwrap();
    (process, address)
}
