//! The client's side of TLS.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::pem;
use crate::{Error, Result};

/// Whom a client trusts, and what it shows of itself; all files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// The authorities that may have signed the server's certificate; nobody else is trusted.
    pub ca: PathBuf,
    /// The client's own certificate and its private key, for a server that asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate, where it is not the one in the address.
    pub server_name: Option<String>,
}

impl ClientTls {
    /// Trusts the authorities of one file.
    pub fn trusting(ca: impl Into<PathBuf>) -> Self {
        Self { ca: ca.into(), identity: None, server_name: None }
    }

    /// # Errors
    /// A file cannot be read or holds something else, or the key is not the certificate's.
    pub(super) fn config(&self) -> Result<ClientTlsConfig> {
        pem::authorities(&self.ca)?; // says what is wrong with which file, as tonic does not
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&self.ca)?));
        if let Some((certificate, key)) = &self.identity {
            pem::identity(certificate, key)?;
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io("read", path, e))
}
