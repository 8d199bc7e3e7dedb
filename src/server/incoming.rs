//! Connections as they come: so many at once, and no spinning when the system has no more files.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long nothing is accepted after the system refused to. Most often it has no file descriptors left, and says so at
/// once for as long as somebody waits to be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that may wait to be accepted. The system's own default is so low that a burst of callers overruns it; each
/// of those that do not fit tries again a second later.
const WAITING: u32 = 4096;

/// Listens at an address.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?; // a server that was stopped can be started at once
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// The connections that a listener accepts. Above the limit they are closed at once, so that their clients know.
pub(super) struct Incoming {
    listener: TcpListener,
    places: Arc<Semaphore>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// At most so many connections at once.
    pub fn new(listener: TcpListener, most: u32) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(most as usize)), pause: None }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((io, _)) => match self.places.clone().try_acquire_owned() {
                    Ok(place) => {
                        io.set_nodelay(true).unwrap_or_else(|error| tracing::debug!(%error, "no nodelay"));
                        return Poll::Ready(Some(Ok(Connection { io, _place: place })));
                    }
                    Err(_) => tracing::debug!("closed a connection, since there are too many"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                }
            }
        }
    }
}

/// A connection, and its place among them.
pub(super) struct Connection {
    io: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.io.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn one_too_many_is_closed_and_a_place_comes_back() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Incoming::new(listener, 1);
        let _first = TcpStream::connect(address).await.unwrap();
        let accepted = incoming.next().await.unwrap().unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        let waiting = tokio::spawn(async move { (incoming.next().await.is_some(), incoming) });
        assert_eq!(second.read(&mut [0]).await.unwrap_or(0), 0, "closed");
        drop(accepted);
        let _third = TcpStream::connect(address).await.unwrap();
        assert!(waiting.await.unwrap().0);
    }
}
