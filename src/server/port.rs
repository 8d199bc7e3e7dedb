//! A port: takes connections, so many at once, and serves each until the server shuts down.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::ServerOptions;
use super::connection::{Connection, Protocol, Serves};
use crate::{Error, Result};

/// How long no connection is taken after the system refused one, most likely for want of file descriptors.
const BREATHER: Duration = Duration::from_millis(500);

/// An address that is taken, and not served yet.
pub(super) struct Port {
    listener: TcpListener,
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
}

impl Port {
    /// Takes an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be taken.
    pub async fn bind(address: SocketAddr, protocol: Protocol) -> Result<Self> {
        let unavailable = |e: std::io::Error| Error::Unavailable {
            what: format!("address {address}"),
            reason: format!("{e}; stop what listens there, or choose another address"),
        };
        let listener = TcpListener::bind(address).await.map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        Ok(Self { listener, address, protocol, tls: None })
    }

    /// The same port behind TLS, if there is a configuration; the protocols that it offers are the port's own.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<&Arc<ServerConfig>>) -> Self {
        self.tls = tls.map(|tls| {
            let mut config = ServerConfig::clone(tls);
            config.alpn_protocols = self.protocol.names();
            TlsAcceptor::from(Arc::new(config))
        });
        self
    }

    /// Where it listens, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stopping` is cancelled, and then until the open calls have ended. Dropped earlier, it closes the
    /// connections at once.
    pub async fn serve(self, service: impl Serves, options: &ServerOptions, stopping: &CancellationToken) {
        let Self { listener, protocol, tls, .. } = self;
        let connection = Connection::new(protocol, options, stopping.clone());
        let places = Arc::new(Semaphore::new(options.max_connections as usize));
        let mut open = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await; // never closed
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (connection, service, tls) = (connection.clone(), service.clone(), tls.clone());
                    open.spawn(async move {
                        let _place = place;
                        serve(stream, tls, connection, service).await;
                    });
                }
                Err(error) if is_the_peers(error.kind()) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(BREATHER).await;
                }
            }
            while open.try_join_next().is_some() {}
        }
        drop(listener); // whoever comes now is refused at once, and need not wait for the end
        while open.join_next().await.is_some() {}
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, connection: Connection, service: impl Serves) {
    // A reply must not wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, "the peer has left");
    }
    let Some(tls) = tls else { return connection.serve(stream, service).await };
    match tokio::time::timeout(connection.patience(), tls.accept(stream)).await {
        Ok(Ok(stream)) => connection.serve(stream, service).await,
        Ok(Err(error)) => tracing::debug!(%error, "no TLS came about"),
        Err(_) => tracing::debug!("a peer took too long over TLS"),
    }
}

/// Whether a connection that could not be taken is the peer's fault, and the next may be tried at once.
fn is_the_peers(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}
