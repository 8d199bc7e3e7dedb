//! Who gets in: the settings.

use std::path::PathBuf;

use clap::Args;

use crate::Error;
use crate::server::TlsFiles;

/// Who gets in.
#[derive(Args)]
pub(super) struct AccessArgs {
    /// Encrypt every connection: the server's certificate as PEM, followed by those that lead to its authority. Read
    /// again on SIGHUP, with its key, for connections that come after.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate, as PEM, not encrypted.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates of authorities, as PEM: only callers who have a certificate of theirs get a connection.
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Serve without TLS on an address that other machines reach. API keys, and what is asked and answered, can then be read
    /// on the way, unless something else encrypts it.
    #[arg(long)]
    pub allow_plaintext: bool,
    /// Serve only who has an API key of this file, which `simbert keys` makes: calls send `authorization: Bearer KEY`.
    /// Health and reflection answer without. Read again on SIGHUP, for calls that come after; a file that is bad by then
    /// leaves the keys of before.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
}

impl AccessArgs {
    /// The files of TLS, if there is to be any.
    ///
    /// # Errors
    /// Some of them are named without the others.
    pub fn tls(&self) -> crate::Result<Option<TlsFiles>> {
        let (key, client_ca) = (self.tls_key.clone(), self.client_ca.clone());
        match (self.tls_cert.clone(), key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, client_ca })),
            (Some(_), None) => Err(Error::invalid("TLS", "a private key (`--tls-key`)", "a certificate alone")),
            (None, Some(_)) => Err(Error::invalid("TLS", "a certificate (`--tls-cert`)", "a private key alone")),
            (None, None) if client_ca.is_some() => {
                let expected = "the server's own certificate and key (`--tls-cert`, `--tls-key`)";
                Err(Error::invalid("TLS", expected, "the authorities of callers (`--client-ca`) alone"))
            }
            (None, None) => Ok(None),
        }
    }
}
