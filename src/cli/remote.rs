//! How commands talk to a server.

use std::error::Error as _;
use std::path::PathBuf;

use clap::Args;

use crate::server::{ApiKey, Client, ClientOptions, ClientTls, causes};
use crate::{Error, Result};

/// The server that a command may be sent to.
#[derive(Args, Debug, Clone)]
pub struct ServerArgs {
    /// Have the server at this address do it, which may have the bank open; its folder of banks is meant then.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub server: Option<String>,
    /// Authorities to trust with a server at `https://…`, as PEM. Where its certificate is a public one, that is the
    /// system's file: /etc/ssl/certs/ca-certificates.crt on Debian.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub ca: Option<PathBuf>,
    /// A certificate to show to the server, if it asks for one, as PEM.
    #[arg(long, value_name = "FILE", requires_all = ["ca", "client_key"])]
    pub client_cert: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// A file with the API key to send, if the server asks for one; the variable SIMBERT_API_KEY when absent. A key on the
    /// command line would be seen by others.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub api_key_file: Option<PathBuf>,
}

/// The API key, where no file of it is named.
const KEY_VARIABLE: &str = "SIMBERT_API_KEY";

/// Reads a server's address from the command line.
pub fn parse_url(text: &str) -> Result<String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host.is_some_and(|host| !host.is_empty()) {
        true => Ok(text.to_owned()),
        false => {
            Err(Error::invalid("server address", "`http://host:port` or `https://host:port`", format!("`{text}`")))
        }
    }
}

/// A server that was named.
pub struct Remote {
    url: String,
    options: ClientOptions,
}

impl Remote {
    /// The server at an address, in plain text.
    pub fn at(url: String) -> Self {
        // For work that takes as long as it takes; Ctrl-C ends the wait.
        Self { url, options: ClientOptions { timeout: None, ..ClientOptions::default() } }
    }

    pub async fn connect(&self) -> Result<Client> {
        Client::connect(&*self.url, &self.options).await
    }
}

impl ServerArgs {
    /// The server, if one was named.
    ///
    /// # Errors
    /// There is no API key where one should be.
    pub fn remote(self) -> Result<Option<Remote>> {
        let Some(url) = &self.server else { return Ok(None) };
        let Remote { url, options } = Remote::at(url.clone());
        let api_key = self.api_key()?;
        let identity = self.client_cert.zip(self.client_key);
        let tls = self.ca.map(|ca| ClientTls { identity, ..ClientTls::trusting(ca) });
        Ok(Some(Remote { url, options: ClientOptions { tls, api_key, ..options } }))
    }

    fn api_key(&self) -> Result<Option<ApiKey>> {
        let key = match (&self.api_key_file, std::env::var_os(KEY_VARIABLE)) {
            (Some(file), _) => std::fs::read_to_string(file).map_err(|e| Error::io("read the API key", file, e))?,
            (None, Some(key)) => key.to_string_lossy().into_owned(), // what is lost is refused
            (None, None) => return Ok(None),
        };
        ApiKey::new(key.trim()).map(Some)
    }
}

/// The server's sentence alone, without the metadata around it.
pub fn told(status: tonic::Status) -> anyhow::Error {
    if status.source().is_some() {
        let cause = causes(&status);
        let hint = "a server that has a certificate is named by `https://…`";
        return anyhow::anyhow!("the connection broke ({cause}); {hint}, and its log may say more");
    }
    anyhow::anyhow!("the server answered {:?}: {}", status.code(), status.message())
}
