//! What can be measured of a server, for Prometheus. Each server has its own.
//!
//! Calls and stages are counted as they end; the rest is looked at when it is asked for.

mod collector;
mod name;
mod process;

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tonic::Code;

use self::collector::State;
pub(super) use self::name::{CallName, CallNames, Known};
use super::gate::Gate;
use super::status::code_name;
use crate::engine::{Engine, Timings};
use crate::{Error, Result};

/// Upper ends of the histograms, in seconds: 0.1 ms to 10 s.
const BUCKETS: [f64; 16] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What prometheus calls the format of [`Metrics::write`].
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The measures of one server.
pub(super) struct Metrics {
    registry: Registry,
    calls: Histograms<Ended>,
    stages: Histograms<Stage>,
    in_flight: Family<CallName, Gauge>,
    refused: Counter,
    connections: Family<Port, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    #[prometheus(flatten)]
    call: CallName,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Port {
    port: &'static str,
}

impl Metrics {
    /// Measures of what `engine` and `gate` do, all at zero.
    pub fn new(engine: Engine, gate: Gate) -> Self {
        let mut registry = Registry::default();
        let histogram = || Histogram::new(BUCKETS);
        let calls = Histograms::new_with_constructor(histogram);
        let stages = Histograms::new_with_constructor(histogram);
        let (in_flight, refused, connections) = (Family::default(), Counter::default(), Family::default());
        {
            let ours = registry.sub_registry_with_prefix("simbert");
            let seconds = || Unit::Seconds;
            ours.register_with_unit(
                "call_duration",
                "How long calls took, until their last reply",
                seconds(),
                calls.clone(),
            );
            ours.register_with_unit("stage_duration", "How long a stage of a call took", seconds(), stages.clone());
            ours.register("calls_in_flight", "Calls that are open", in_flight.clone());
            ours.register("calls_refused", "Calls that were turned away with RESOURCE_EXHAUSTED", refused.clone());
            ours.register("connections", "Connections that are open", connections.clone());
            ours.register_collector(Box::new(State::new(engine, gate)));
        }
        registry.register_collector(Box::new(process::Process));
        Self { registry, calls, stages, in_flight, refused, connections }
    }

    /// Counts a call that begins.
    pub fn begin(&self, call: &CallName) {
        self.in_flight.get_or_create(call).inc();
    }

    /// Counts its end, and the stages that it went through.
    pub fn end(&self, call: &CallName, code: Code, took: Duration, timings: Timings) {
        self.in_flight.get_or_create(call).dec();
        if code == Code::ResourceExhausted {
            self.refused.inc();
        }
        let ended = Ended { call: call.clone(), code: code_name(code) };
        self.calls.get_or_create(&ended).observe(took.as_secs_f64());
        for (stage, took) in timings.stages().into_iter().filter(|(_, took)| !took.is_zero()) {
            self.stages.get_or_create(&Stage { stage }).observe(took.as_secs_f64());
        }
    }

    /// The number of open connections of a port.
    pub fn connections(&self, port: &'static str) -> Gauge {
        self.connections.get_or_create_owned(&Port { port })
    }

    /// All of it, in Prometheus' text format. Blocks: it looks at the disk.
    ///
    /// # Errors
    /// The text cannot be written.
    pub fn write(&self) -> Result<String> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)
            .map_err(|e| Error::Internal(format!("the metrics cannot be written: {e}")))?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
