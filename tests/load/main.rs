//! What a server does under load, seen from outside: a process of its own, called by `simbert bench serve` and by clients,
//! and looked at through `/proc`. It is the real binary with the bundled model where that is exported, in 8 bits if it
//! can be, and else one with a fake model.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../server/encoder.rs"]
mod encoder;
mod process;
mod shutdown;
mod soak;

/// One at a time: each wants the machine for itself.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
