//! TLS, for every port of the server: one configuration, read from files, and read again when it is asked for.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use super::pem;
use crate::{Error, Result};

/// Where the server's certificates and keys are, all as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key, in the clear.
    pub key: PathBuf,
    /// The authorities of callers. With them, a caller without a certificate of theirs gets no connection.
    pub client_ca: Option<PathBuf>,
}

/// What a port encrypts with. Cheap to clone; all clones are renewed together.
#[derive(Clone)]
pub(super) struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be read or holds something else, or the key is not the certificate's.
    pub fn read(files: TlsFiles) -> Result<Self> {
        let current = RwLock::new(Arc::new(configuration(&files)?));
        Ok(Self(Arc::new(Shared { files, current })))
    }

    /// What a port takes its next connection with. It offers HTTP/2 first, then HTTP/1.1.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.current.read().clone()
    }

    /// Reads the files again, for connections to come. Those that are open stay as they are.
    ///
    /// # Errors
    /// As for [`Tls::read`]; what was read before stays then.
    pub fn read_again(&self) -> Result<()> {
        let current = Arc::new(configuration(&self.0.files)?);
        *self.0.current.write() = current;
        Ok(())
    }
}

fn configuration(files: &TlsFiles) -> Result<ServerConfig> {
    let broken = |e: &dyn std::fmt::Display| Error::Internal(format!("TLS cannot be set up: {e}"));
    let identity = pem::identity(&files.certificate, &files.key)?;
    let versions = ServerConfig::builder_with_provider(pem::provider()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|e| broken(&e))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let authorities = Arc::new(pem::authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities, pem::provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| broken(&e))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
