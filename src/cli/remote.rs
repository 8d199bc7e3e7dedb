//! How commands talk to a server.

use clap::Args;

use crate::server::{Client, ClientOptions};
use crate::{Error, Result};

/// The server that a command may be sent to.
#[derive(Args, Debug, Clone)]
pub struct ServerArgs {
    /// Have the server at this address do it, which may have the bank open; its folder of banks is meant then.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub server: Option<String>,
}

/// Reads a server's address from the command line.
pub fn parse_url(text: &str) -> Result<String> {
    match text.strip_prefix("http://") {
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err(Error::invalid("server address", "`http://host:port`", format!("`{text}`"))),
    }
}

/// Connects to a server for work that takes as long as it takes; Ctrl-C ends the wait.
pub async fn connect(url: &str) -> Result<Client> {
    Client::connect(url, &ClientOptions { timeout: None, ..ClientOptions::default() }).await
}

/// The server's sentence alone, without the metadata around it.
pub fn told(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("the server answered {:?}: {}", status.code(), status.message())
}
