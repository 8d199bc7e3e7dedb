//! What the server is and holds at the moment that it is asked.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::engine::{BankStatus, Engine};
use crate::runtime::CacheUse;
use crate::server::gate::Gate;

/// Banks that are told apart; those that come later by name are only in the sums.
const MOST_BANKS: usize = 1000;

/// The engine, and the calls that are with it.
pub(super) struct State {
    engine: Engine,
    gate: Gate,
}

impl State {
    pub fn new(engine: Engine, gate: Gate) -> Self {
        Self { engine, gate }
    }

    /// The banks by name.
    fn banks(&self) -> Vec<BankStatus> {
        let mut banks = self.engine.banks().unwrap_or_else(|error| {
            tracing::warn!(%error, "the banks cannot be measured");
            Vec::new()
        });
        banks.sort_by(|a, b| a.name.cmp(&b.name));
        banks
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { engine, gate } = self;
        let mut out = Out(&mut encoder);
        out.info("build_info", "The program", &[("version", env!("CARGO_PKG_VERSION"))])?;
        out.info("model_info", "The model that is loaded", &[("fingerprint", engine.fingerprint())])?;
        out.gauge("calls_running", "Pieces of work that run", gate.running())?;
        out.gauge("calls_waiting", "Pieces of work that wait for their turn", gate.waiting())?;
        out.gauge("encoder_queue_texts", "Texts that wait to be encoded", engine.queued())?;
        let CacheUse { hits, misses, bytes, capacity } = engine.cache();
        out.counter("vector_cache_hits", "Texts whose vector was remembered", hits)?;
        out.counter("vector_cache_misses", "Texts that were encoded, and looked for in memory before", misses)?;
        out.gauge("vector_cache_bytes", "Bytes of vectors that are remembered", bytes)?;
        out.gauge("vector_cache_capacity_bytes", "Bytes that they may take", capacity)?;
        let banks = self.banks();
        out.gauge("banks", "Banks", banks.len())?;
        out.gauge(
            "store_bytes",
            "Bytes of all banks on the disk",
            banks.iter().map(|bank| bank.bytes_on_disk).sum::<u64>(),
        )?;
        let banks = &banks[..banks.len().min(MOST_BANKS)];
        out.each("bank_questions", "Questions of a bank", banks, |bank| bank.questions)?;
        out.each("bank_disk_bytes", "Bytes of a bank on the disk", banks, |bank| bank.bytes_on_disk)?;
        out.each("bank_index_bytes", "Bytes that searches of an open bank need", banks, |bank| bank.index_bytes)?;
        out.each("bank_segments", "Graphs of an open bank", banks, |bank| bank.segments)?;
        out.each("bank_waiting_vectors", "Vectors of an open bank that wait for a graph", banks, |bank| bank.waiting)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// Writes one measure after the other.
pub(super) struct Out<'a, 'b>(pub &'a mut DescriptorEncoder<'b>);

impl Out<'_, '_> {
    pub fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?)
    }

    pub fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        ConstCounter::new(value).encode(self.0.encode_descriptor(name, &sentence(help), None, MetricType::Counter)?)
    }

    /// A 1 whose labels say something.
    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?;
        ConstGauge::new(1_u64).encode(metric.encode_family(&labels)?)
    }

    /// A gauge for each bank.
    fn each(&mut self, name: &str, help: &str, banks: &[BankStatus], value: fn(&BankStatus) -> u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?;
        for bank in banks {
            let labels: &[(&str, &str)] = &[("bank", bank.name.as_str())];
            ConstGauge::new(value(bank)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Help ends with a full stop, as the registry's own does.
fn sentence(help: &str) -> String {
    format!("{help}.")
}
