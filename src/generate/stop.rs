//! How a caller stops work that it no longer waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::{Error, Result};

/// Says when work may stop: when its caller says so, or at a deadline. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    said: Arc<AtomicBool>,
    deadline: Option<Instant>,
    /// Work that this is a part of.
    whole: Option<Arc<Stop>>,
}

impl Stop {
    /// Stops at `deadline`, if there is one, or when told to.
    pub fn at(deadline: Option<Instant>) -> Self {
        Self { deadline, ..Self::default() }
    }

    /// For a part of the work: stops with the whole, or alone.
    pub fn within(&self) -> Self {
        Self { whole: Some(Arc::new(self.clone())), ..Self::default() }
    }

    /// Stops now.
    pub fn stop(&self) {
        self.said.store(true, Ordering::Relaxed);
    }

    /// Whether the work is in vain.
    pub fn is_stopped(&self) -> bool {
        self.said.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.whole.as_ref().is_some_and(|whole| whole.is_stopped())
    }

    /// An error if the work is in vain.
    ///
    /// # Errors
    /// It is stopped.
    pub fn check(&self) -> Result<()> {
        match self.is_stopped() {
            true => Err(Error::Cancelled { what: "the generation".to_owned() }),
            false => Ok(()),
        }
    }

    /// Stops when what is returned goes away: a future that its caller drops.
    pub fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }
}

/// See [`Stop::on_drop`].
#[derive(Debug)]
pub struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn stops_when_told_at_its_deadline_and_when_its_guard_goes() {
        let stop = Stop::default();
        assert!(!stop.is_stopped() && stop.check().is_ok());
        drop(stop.clone().on_drop());
        assert!(stop.is_stopped() && stop.check().unwrap_err().to_string().contains("cancelled"));
        assert!(!Stop::at(Some(Instant::now() + Duration::from_secs(60))).is_stopped());
        assert!(Stop::at(Some(Instant::now())).is_stopped());
    }

    #[test]
    fn a_part_stops_with_the_whole_and_not_the_other_way_round() {
        let whole = Stop::default();
        let [one, other] = [whole.within(), whole.within()];
        one.stop();
        assert!(one.is_stopped() && !other.is_stopped() && !whole.is_stopped());
        whole.stop();
        assert!(other.is_stopped());
    }
}
