//! HTTP/2 by hand, to say what no client would. Source: RFC 9113 for frames, RFC 7541 for headers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GO_AWAY: u8 = 7;
pub const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// Flags.
pub const END_STREAM: u8 = 1;
const ACKNOWLEDGE: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as it came.
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection on which anything can be said. What comes is read meanwhile: a reset would lose what nobody has read.
pub struct Raw {
    pub out: OwnedWriteHalf,
    frames: mpsc::UnboundedReceiver<Frame>,
    /// Ends with this.
    _reading: JoinSet<()>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let (mut incoming, out) = TcpStream::connect(address).await.unwrap().into_split();
        let (sender, frames) = mpsc::unbounded_channel();
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            while let Some(frame) = read(&mut incoming).await {
                if sender.send(frame).is_err() {
                    return;
                }
            }
        });
        Self { out, frames, _reading: reading }
    }

    /// A connection on which HTTP/2 has begun.
    pub async fn greeted(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address).await;
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        raw.frame(SETTINGS, 0, 0, &[]).await.unwrap();
        raw.frame(SETTINGS, ACKNOWLEDGE, 0, &[]).await.unwrap(); // the server's windows hold from then on
        raw
    }

    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.out.write_all(bytes).await
    }

    pub async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        self.write(&frame(kind, flags, stream, payload)).await
    }

    /// Begins a call.
    pub async fn call(&mut self, stream: u32, path: &str) -> std::io::Result<()> {
        self.frame(HEADERS, END_HEADERS, stream, &call_headers(path)).await
    }

    /// Sends bytes of a message, in frames that everybody takes.
    pub async fn data(&mut self, stream: u32, bytes: &[u8]) -> std::io::Result<()> {
        for part in bytes.chunks(16 << 10) {
            self.frame(DATA, 0, stream, part).await?;
        }
        Ok(())
    }

    /// Whether a frame like this comes within a time.
    pub async fn reads(&mut self, within: Duration, wanted: impl Fn(&Frame) -> bool) -> bool {
        let search = async {
            while let Some(frame) = self.frames.recv().await {
                if wanted(&frame) {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(within, search).await.unwrap_or(false)
    }

    /// Whether the other end closes within a time.
    pub async fn is_closed(&mut self, within: Duration) -> bool {
        let drain = async { while self.frames.recv().await.is_some() {} };
        tokio::time::timeout(within, drain).await.is_ok()
    }
}

/// The next frame; none when the other end has closed.
async fn read(incoming: &mut OwnedReadHalf) -> Option<Frame> {
    let mut head = [0; 9];
    incoming.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    incoming.read_exact(&mut payload).await.ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], stream, payload })
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a gRPC call, as literals.
pub fn call_headers(path: &str) -> Vec<u8> {
    let all = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    all.into_iter().flat_map(|(name, value)| header(name, value)).collect()
}

/// One header, as a literal that is not remembered.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let mut length = text.len();
        if length < 127 {
            bytes.push(length as u8);
        } else {
            bytes.push(127);
            length -= 127;
            while length >= 128 {
                bytes.push((length % 128) as u8 | 128);
                length /= 128;
            }
            bytes.push(length as u8);
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The head of a message of so many bytes.
pub fn message_head(bytes: u32) -> Vec<u8> {
    [&[0], &bytes.to_be_bytes()[..]].concat()
}
