//! The connections that calls go over.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tonic::Status;

use super::super::super::remote::Remote;
use crate::server::Client;

/// Connections that are used in turns.
pub struct Connections {
    server: Remote,
    /// Calls after which a connection is closed, and another one opened.
    renew_after: Option<u64>,
    all: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
}

struct Connection {
    client: Client,
    used: u64,
}

impl Connections {
    /// Opens `count` connections, at least one.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn open(server: Remote, count: usize, renew_after: Option<u64>) -> crate::Result<Self> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count.max(1) {
            all.push(Mutex::new(Connection { client: server.connect().await?, used: 0 }));
        }
        Ok(Self { server, renew_after, all, turn: AtomicUsize::new(0) })
    }

    /// A client over the connection whose turn it is.
    ///
    /// # Errors
    /// UNAVAILABLE where it was to be renewed, and nobody answers.
    pub async fn next(&self) -> Result<Client, Status> {
        let place = &self.all[self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len()];
        {
            let mut connection = place.lock();
            connection.used += 1;
            if self.renew_after.is_none_or(|most| connection.used <= most) {
                return Ok(connection.client.clone());
            }
            connection.used = 0; // who comes meanwhile goes over the old one
        }
        let client = self.server.connect().await?;
        place.lock().client = client.clone();
        Ok(client)
    }
}
