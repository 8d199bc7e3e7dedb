//! `simbert health`.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, value_parser};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::remote::{Remote, ServerArgs, told};
use super::serve::runtime;
use crate::cli::say::say;

/// Where a server listens that was told nothing else.
const DEFAULT: &str = "http://127.0.0.1:50051";

/// Ask a server whether it serves: exit code 0 if it does, 1 if not.
///
/// Asks the standard health service of gRPC, which needs no API key; for a container's health check, or a script that
/// waits for a server to be ready.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  simbert health\n  simbert health --server https://faq.example:50051 --ca ca.pem\n  \
    until simbert health --timeout 1 2>/dev/null; do sleep 1; done",
    mut_arg("server", |server| server.help(format!("The server to ask [default: {DEFAULT}]")).long_help(None))
)]
pub struct Health {
    #[command(flatten)]
    server: ServerArgs,
    /// Seconds to wait for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl Health {
    pub fn run(self) -> anyhow::Result<()> {
        let server = self.server.remote()?.unwrap_or_else(|| Remote::at(DEFAULT.to_owned()));
        let asking = async { tokio::time::timeout(Duration::from_secs(self.timeout), ask(&server)).await };
        let Ok(status) = runtime(1)?.block_on(asking) else {
            bail!("the server did not answer within {} s; is it overloaded, or still loading its model?", self.timeout);
        };
        match status? {
            ServingStatus::Serving => say!("serving"),
            other => bail!("the server says {}", other.as_str_name()),
        }
        Ok(())
    }
}

async fn ask(server: &Remote) -> anyhow::Result<ServingStatus> {
    let mut health = HealthClient::new(server.connect().await?.channel());
    Ok(health.check(HealthCheckRequest::default()).await.map_err(told)?.into_inner().status())
}
