//! A port: takes connections, so many at once, and serves each until the server shuts down.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::connection::{Connection, Protocol, Serves};
use super::context::Context;
use crate::{Error, Result};

/// How long no connection is taken after the system refused one, most likely for want of file descriptors.
const BREATHER: Duration = Duration::from_millis(500);

/// An address that is taken, and not served yet.
pub(super) struct Port {
    listener: TcpListener,
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<Encryption>,
}

/// What the next connection is encrypted with; it may be another than that of the one before.
pub(super) type Encryption = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

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

    /// The same port behind TLS, if there is something to encrypt with.
    #[must_use]
    pub fn with_tls(self, tls: Option<Encryption>) -> Self {
        Self { tls, ..self }
    }

    /// Where it listens, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the server stops, and then until the open calls have ended. Dropped earlier, it closes the
    /// connections at once.
    pub async fn serve(self, service: impl Serves, context: &Context) {
        let Self { listener, protocol, tls, .. } = self;
        let Context { options, stopping, metrics, .. } = context;
        let connection = Connection::new(protocol, options, stopping.clone());
        let count = metrics.connections(protocol.name());
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
                    let counted = Counted::new(&count);
                    open.spawn(async move {
                        let _place = (place, counted);
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

/// Counts a connection until it is dropped.
struct Counted(Gauge);

impl Counted {
    fn new(count: &Gauge) -> Self {
        count.inc();
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn serve(stream: TcpStream, tls: Option<Encryption>, connection: Connection, service: impl Serves) {
    // A reply must not wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, "the peer has left");
    }
    let Some(tls) = tls else { return connection.serve(stream, service).await };
    match tokio::time::timeout(connection.patience(), TlsAcceptor::from(tls()).accept(stream)).await {
        Ok(Ok(stream)) => connection.serve(stream, service).await,
        Ok(Err(error)) => tracing::debug!(%error, "no TLS came about"),
        Err(_) => tracing::debug!("a peer took too long over TLS"),
    }
}

/// Whether a connection that could not be taken is the peer's fault, and the next may be tried at once.
fn is_the_peers(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    use tonic::body::Body;
    use tonic::codegen::http::{Request, Response};

    use super::*;
    use crate::engine::Engine;
    use crate::server::ServerOptions;

    #[tokio::test]
    async fn a_port_with_tls_speaks_nothing_else() {
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
        let chain = vec![certificate.cert.der().clone()];
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let config = Arc::new(config);
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = Port::bind(local, Protocol::Http).await.unwrap().with_tls(Some(Arc::new(move || config.clone())));
        let address = port.address();
        let data = tempfile::tempdir().unwrap();
        let engine = Engine::without_model(data.path(), "none", 2).unwrap();
        let options = ServerOptions { header_timeout: Duration::from_millis(500), ..ServerOptions::default() };
        let context = Context::new(engine, options);
        let stopping = context.stopping.clone();
        let hello = tower::service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
        let serving = tokio::spawn(async move { port.serve(hello, &context).await });

        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut roots = RootCertStore::empty();
        roots.add(certificate.cert.der().clone()).unwrap();
        let client = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(client).connect(name, stream).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await; // it may end without saying so
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");

        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(request).await.unwrap();
        for stream in [&mut plain, &mut silent] {
            let mut answer = Vec::new();
            let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
            assert!(end.is_ok() && !answer.starts_with(b"HTTP"), "{answer:?}");
        }
        stopping.cancel();
        serving.await.unwrap();
    }
}
