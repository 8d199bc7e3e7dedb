//! A plain HTTP/1.1 client: what is written is what goes over the line.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks at this address, over a connection for each request.
#[derive(Clone, Copy)]
pub struct Http(pub SocketAddr);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Http {
    pub async fn get(self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    /// Sends JSON.
    pub async fn post(self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.as_bytes()).await
    }

    pub async fn send(self, verb: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{verb} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.0);
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        let request = [head.as_bytes(), b"\r\n", body].concat();
        self.raw(&request).await.unwrap_or_else(|| panic!("{verb} {path} was not answered"))
    }

    /// Sends these bytes, and reads what comes until the end.
    pub async fn raw(self, request: &[u8]) -> Option<Answer> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.0).await.unwrap();
            // A server that refuses need not read all of it, and what it said counts even if it closed the connection.
            let _ = stream.write_all(request).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        Answer::of(&tokio::time::timeout(PATIENCE, exchange).await.expect("the server should answer"))
    }
}

impl Answer {
    fn of(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        };
        let headers: HashMap<String, String> = lines.map(header).collect();
        let body = &bytes[end + 4..];
        let chunked = headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked");
        Some(Self { status, body: if chunked { unchunked(body) } else { body.to_vec() }, headers })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The JSON of an answer that must be right.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Asserts an error, and that its sentence has `part` in it.
    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str, part: &str) {
        let json = self.json();
        assert_eq!((self.status, json["error"]["code"].as_str()), (status, Some(code)), "{json}");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(part), "`{message}` should say `{part}`");
    }
}

/// What a body in chunks says.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    panic!("the last chunk is missing");
}
