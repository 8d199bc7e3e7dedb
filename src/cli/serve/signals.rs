//! What a server hears from the system.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::Renewal;

/// Completes at the first Ctrl-C or SIGTERM; the second ends the process at once, with 130.
///
/// The handlers are in place when this returns, so that no signal is missed.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let (first, stopped) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match first.take() {
                Some(first) => _ = first.send(()), // nobody waits for it once the server has ended
                None => std::process::exit(130),
            }
        }
    });
    Ok(async { _ = stopped.await })
}

/// Reads certificates and keys again at each SIGHUP. Without any, a server on a terminal ends with it, as processes do;
/// a service goes on, as its manager may send the signal to whatever can reload.
pub(super) fn renew_on_hangup(renewal: Renewal) -> anyhow::Result<()> {
    if renewal.is_idle() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let renewal = renewal.clone();
            let _ = tokio::task::spawn_blocking(move || renewal.run()).await; // it says in the log how it went
        }
    });
    Ok(())
}
