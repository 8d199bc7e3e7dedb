//! Sends traces to a collector, by OTLP over gRPC.
//!
//! Spans wait in a queue of bounded length, and are sent by a thread of its own: a collector that is slow or away costs
//! spans, and nothing else.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter as Exports,
};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::{Error, Result};

/// Spans that wait to be sent; those that come when there are so many are lost.
const WAITING: usize = 4096;
/// How long spans wait for more to be sent with.
const TOGETHER: Duration = Duration::from_secs(2);
/// How long sending may take, and how long the last of it may hold up the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where traces go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// The collector, as `http://host:port`.
    pub endpoint: String,
    /// The share of traces that begin here and are kept, 0 to 1. Those that a caller began are kept if the caller keeps
    /// them.
    pub ratio: f64,
}

impl TraceOptions {
    /// # Errors
    /// The endpoint is no address, or the share is out of range.
    pub fn validate(&self) -> Result<()> {
        let received = || format!("`{}`", self.endpoint);
        let host = self.endpoint.strip_prefix("http://");
        if host.is_none_or(|host| host.is_empty() || tonic::codegen::http::Uri::try_from(&*self.endpoint).is_err()) {
            return Err(Error::invalid("address of the trace collector", "`http://host:port`", received()));
        }
        if !(0.0..=1.0).contains(&self.ratio) {
            return Err(Error::invalid("share of traces", "0 to 1", self.ratio));
        }
        Ok(())
    }
}

/// The sending of traces, until [`Traces::end`].
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to send; needs a running tokio runtime, which carries the connection. It connects when there is something to
    /// send, so that the collector may come later.
    ///
    /// # Errors
    /// The options are out of range.
    pub fn start(options: &TraceOptions) -> Result<Self> {
        options.validate()?;
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(&options.endpoint).with_timeout(PATIENCE);
        let exporter = exporter.build().map_err(|e| Error::Unavailable {
            what: format!("the trace collector `{}`", options.endpoint),
            reason: e.to_string(),
        })?;
        let endpoint = options.endpoint.clone();
        let exporter = Watched { exporter, endpoint, away: AtomicBool::new(false) };
        let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING).with_scheduled_delay(TOGETHER);
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
        let resource = Resource::builder()
            .with_service_name("simbert")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(options.ratio))))
            .with_resource(resource.build())
            .build();
        Ok(Self { provider })
    }

    /// What a subscriber takes spans by: those of this crate, down to the stages of a call.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("simbert"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::DEBUG))
    }

    /// Sends what is left, for a few seconds at most. Blocks; call it off the runtime's threads, while the runtime runs.
    pub fn end(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(PATIENCE) {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// An exporter that says once when its collector has gone, and once when it is back.
struct Watched {
    exporter: SpanExporter,
    endpoint: String,
    away: AtomicBool,
}

impl Exports for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        match (&result, self.away.swap(result.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                tracing::warn!(endpoint = self.endpoint, %error, "traces cannot be sent, and are lost until they can");
            }
            (Ok(()), true) => tracing::info!(endpoint = self.endpoint, "traces are sent again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_that_are_none_are_refused() {
        let check = |endpoint: &str, ratio| TraceOptions { endpoint: endpoint.to_owned(), ratio }.validate();
        check("http://127.0.0.1:4317", 1.0).unwrap();
        for bad in ["127.0.0.1:4317", "https://collector:4317", "http://", "http://a b"] {
            let error = check(bad, 1.0).unwrap_err().to_string();
            assert!(error.contains("expected `http://host:port`"), "{error}");
        }
        assert!(check("http://127.0.0.1:4317", 1.5).is_err());
        assert!(check("http://127.0.0.1:4317", f64::NAN).is_err());
    }
}
