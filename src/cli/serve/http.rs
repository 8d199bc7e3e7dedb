//! The HTTP port: the settings.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub(super) struct HttpArgs {
    /// Address and port for JSON, gRPC-web, a page and monitoring; port 0 takes a free one. Encrypted as the other port is.
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:8080")]
    pub http: Option<SocketAddr>,
    /// Write the actual port for HTTP into this file once the server listens.
    #[arg(long, value_name = "FILE")]
    pub http_port_file: Option<PathBuf>,
    /// Origin whose pages may read what the HTTP port answers, such as https://example.org; `*` for all. Can be repeated.
    #[arg(long = "cors-origin", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
}
