//! An authority that signs certificates for the tests.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use simbert::server::{ClientTls, TlsFiles};
use tempfile::TempDir;

/// An authority with a folder of what it has signed.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two of one name: a certificate would be looked for at the wrong one.
        params.distinguished_name.push(DnType::CommonName, folder.path().to_str().unwrap());
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// The authority's own certificate.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for these names, and its key.
    pub fn sign(&self, name: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let pem = self.write(&format!("{name}.pem"), &certificate.pem());
        (pem, self.write(&format!("{name}.key"), &key.serialize_pem()))
    }

    /// What a server shows that listens on the loopback address.
    pub fn server(&self) -> TlsFiles {
        let (certificate, key) = self.sign("server", &["127.0.0.1", "localhost"]);
        TlsFiles { certificate, key, client_ca: None }
    }

    /// The same for a server that asks for certificates, of this authority as well.
    pub fn asking_server(&self) -> TlsFiles {
        TlsFiles { client_ca: Some(self.ca()), ..self.server() }
    }

    /// A client that trusts the authority, and shows nothing.
    pub fn client(&self) -> ClientTls {
        ClientTls::trusting(self.ca())
    }

    /// The same client with a certificate of `other`.
    pub fn client_of(&self, other: &Self) -> ClientTls {
        ClientTls { identity: Some(other.sign("client", &["someone"])), ..self.client() }
    }
}

/// Puts what lies in one file into another's place.
pub fn replace(old: &Path, new: &Path) {
    std::fs::copy(new, old).unwrap();
}
