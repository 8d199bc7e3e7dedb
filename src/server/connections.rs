//! Connections as they come in, encrypted where the server has certificates.
//!
//! Handshakes run beside one another, each for a bounded time, so that a caller who says nothing holds up nobody.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::tls::Tls;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes that run at once; further callers wait to be taken.
const HANDSHAKES: usize = 4096;
/// How long to wait when no connection can be taken, as when the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection of a caller.
pub(super) struct Connection {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    info: TcpConnectInfo,
}

/// Takes connections until the returned stream of them is dropped.
pub(super) fn accept(listener: TcpListener, tls: Option<Tls>) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = take(&listener, tls.as_ref(), &sender) => {}
            () = sender.closed() => {}
        }
    });
    ReceiverStream::new(receiver)
}

async fn take(listener: &TcpListener, tls: Option<&Tls>, taken: &mpsc::Sender<io::Result<Connection>>) {
    let mut handshakes = JoinSet::new(); // which end with this
    loop {
        let ready = tokio::select! {
            accepted = listener.accept(), if handshakes.len() < HANDSHAKES => match (accepted, tls) {
                (Ok((stream, peer)), Some(tls)) => {
                    handshakes.spawn(shake_hands(set_up(&stream, peer), stream, tls.clone()));
                    None
                }
                (Ok((stream, peer)), None) => {
                    Some(Connection { info: set_up(&stream, peer), stream: Either::Left(stream) })
                }
                (Err(error), _) => {
                    tracing::warn!(%error, "no connection can be taken");
                    tokio::time::sleep(PAUSE).await;
                    None
                }
            },
            Some(done) = handshakes.join_next() => done.ok().flatten(),
        };
        if let Some(connection) = ready
            && taken.send(Ok(connection)).await.is_err()
        {
            return;
        }
    }
}

/// What every connection gets, and is known by.
fn set_up(stream: &TcpStream, peer: SocketAddr) -> TcpConnectInfo {
    let _ = stream.set_nodelay(true); // a reply that waits for an acknowledgement is late, not lost
    TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(peer) }
}

/// Encrypts a connection by the certificates of this moment.
async fn shake_hands(info: TcpConnectInfo, stream: TcpStream, tls: Tls) -> Option<Connection> {
    let shaken = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(tls.config()).accept(stream)).await;
    let failure = match shaken {
        Ok(Ok(stream)) => return Some(Connection { stream: Either::Right(Box::new(stream)), info }),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {HANDSHAKE:?}"),
    };
    tracing::debug!(peer = ?info.remote_addr, failure, "a TLS handshake failed");
    None
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
