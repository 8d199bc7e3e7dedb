//! Similar questions for many texts, several at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::{GenerateRequest, Paraphrase, Paraphraser};
use crate::runtime::{patience, while_waited_for};
use crate::{Error, Result};

/// Requests that are written together: enough that a step has rows for all, few enough that the first ends soon.
const TOGETHER: usize = 8;

impl Paraphraser {
    /// Writes for all of `requests`, several at a time, and gives `sink` each one's place and result, in their order.
    /// Each result is what [`Paraphraser::generate`] alone would give. Ends early when `sink` fails, or nobody waits
    /// any more.
    ///
    /// # Errors
    /// `sink`'s own, or nobody waits any more; what is wrong with a request goes to `sink`.
    pub fn generate_many(
        &self,
        requests: &[GenerateRequest],
        mut sink: impl FnMut(usize, Result<Vec<Paraphrase>>) -> Result<()>,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        // Set when this returns, so that the threads end their work early.
        let over = Over::default();
        let waits = {
            let (over, outer) = (Arc::clone(&over.0), patience());
            Arc::new(move || !over.load(Ordering::Relaxed) && outer.as_ref().is_none_or(|waited_for| waited_for()))
        };
        std::thread::scope(|scope| {
            let (done, results) = mpsc::sync_channel(TOGETHER);
            for _ in 0..TOGETHER.min(requests.len()) {
                let (done, next, waits) = (done.clone(), &next, waits.clone());
                scope.spawn(move || {
                    while let Some((place, request)) = take(requests, next) {
                        let result = while_waited_for(waits.clone(), || self.generate(request));
                        if done.send((place, result)).is_err() {
                            return; // nobody wants more
                        }
                    }
                });
            }
            drop(done);
            let mut early = BTreeMap::new();
            for expected in 0..requests.len() {
                let result = loop {
                    if let Some(result) = early.remove(&expected) {
                        break result;
                    }
                    let Ok((place, result)) = results.recv() else {
                        return Err(Error::Internal("a thread that generates has panicked".to_owned()));
                    };
                    early.insert(place, result);
                };
                let given = match result {
                    Err(cancelled @ Error::Cancelled { .. }) => Err(cancelled),
                    result => sink(expected, result),
                };
                if given.is_err() {
                    drop(over);
                    return given;
                }
            }
            Ok(())
        })
    }
}

/// Says that it is over when it goes away.
#[derive(Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn take<'r>(requests: &'r [GenerateRequest], next: &AtomicUsize) -> Option<(usize, &'r GenerateRequest)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    requests.get(place).map(|request| (place, request))
}
