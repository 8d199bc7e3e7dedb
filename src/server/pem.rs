//! Certificates and keys out of PEM files, so that what is wrong is said of the file that it is wrong in.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, CertificateError, RootCertStore};

use crate::{Error, Result};

/// The ciphers of this process, for both ends of a line.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// A certificate with those that lead to its authority, and its key, which fits.
///
/// # Errors
/// A file cannot be read, holds something else, or the key is another certificate's.
pub(super) fn identity(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Error::invalid(
            named("key", key),
            format!("the key of the certificate in {}", certificate.display()),
            "another",
        ),
        rustls::Error::InvalidCertificate(cause) => not_x509(certificate, &cause),
        error => Error::invalid(named("key", key), "an RSA, ECDSA or Ed25519 key", error),
    })
}

/// Authorities to trust.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| match error {
            rustls::Error::InvalidCertificate(cause) => not_x509(path, &cause),
            error => Error::invalid(named("certificate", path), "certificates of authorities", error),
        })?;
    }
    Ok(roots)
}

/// All certificates of a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read("read the certificate", path)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(not_pem("certificate", "CERTIFICATE", path, &text, None)),
        Err(error) => Err(not_pem("certificate", "CERTIFICATE", path, &text, Some(error))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let text = read("read the private key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => not_pem("key", "PRIVATE KEY", path, &text, None),
        error => not_pem("key", "PRIVATE KEY", path, &text, Some(error)),
    })
}

fn read(action: &'static str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(action, path, e))
}

/// What to say of a file that has no such section, or a broken one. A key is never quoted.
fn not_pem(kind: &str, section: &str, path: &Path, text: &[u8], error: Option<pem::Error>) -> Error {
    let has = |marker: &str| text.windows(marker.len()).any(|part| part == marker.as_bytes());
    let received = match error {
        Some(pem::Error::MissingSectionEnd { .. }) => "one whose end is missing".to_owned(),
        Some(pem::Error::IllegalSectionStart { .. }) => "one whose first line is malformed".to_owned(),
        Some(_) => "one that is not Base64".to_owned(),
        None if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
            "an encrypted key; `openssl pkey -in FILE -out FILE` makes a plain one of it".to_owned()
        }
        None if has("PRIVATE KEY-----") => "a private key; are the two files swapped?".to_owned(),
        None if has("-----BEGIN CERTIFICATE-----") => "a certificate; are the two files swapped?".to_owned(),
        None => "neither".to_owned(),
    };
    Error::invalid(named(kind, path), format!("PEM with a section `-----BEGIN {section}-----`"), received)
}

fn not_x509(path: &Path, cause: &CertificateError) -> Error {
    Error::invalid(named("certificate", path), "an X.509 certificate of version 3", format!("another ({cause:?})"))
}

fn named(kind: &str, path: &Path) -> String {
    format!("{kind} file {}", path.display())
}
