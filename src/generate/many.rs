//! Similar questions for many texts, several at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::{GenerateRequest, Paraphrase, Paraphraser, Stop};
use crate::{Error, Result};

/// Requests that are written together: enough that a step has rows for all, few enough that the first ends soon.
const TOGETHER: usize = 8;

impl Paraphraser {
    /// Writes for all of `requests`, several at a time, and gives `sink` each one's place and result, in their order.
    /// Each result is what [`Paraphraser::generate`] alone would give. Ends early when `sink` fails, or `stop` was told.
    ///
    /// # Errors
    /// `sink`'s own, or it was stopped; what is wrong with a request goes to `sink`.
    pub fn generate_many(
        &self,
        requests: &[GenerateRequest],
        stop: &Stop,
        mut sink: impl FnMut(usize, Result<Vec<Paraphrase>>) -> Result<()>,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        // Also stops the threads when this returns early.
        let ours = stop.within();
        let _guard = ours.on_drop();
        std::thread::scope(|scope| {
            let (done, results) = mpsc::sync_channel(TOGETHER);
            for _ in 0..TOGETHER.min(requests.len()) {
                let (done, next, ours) = (done.clone(), &next, ours.clone());
                scope.spawn(move || {
                    while let Some((place, request)) = take(requests, next) {
                        let result = self.generate_until(request, &ours);
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
                    ours.stop();
                    return given;
                }
            }
            Ok(())
        })
    }
}

fn take<'r>(requests: &'r [GenerateRequest], next: &AtomicUsize) -> Option<(usize, &'r GenerateRequest)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    requests.get(place).map(|request| (place, request))
}
