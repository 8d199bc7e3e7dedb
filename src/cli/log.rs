//! The log: to standard error, for people or for machines; and traces beside it.

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::server::{ServerOptions, TraceOptions, Traces};

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line: `timestamp`, `level`, `target`, `message`, what the event says of itself, and under `span`
    /// what is known of its call, such as the request id.
    Json,
}

/// What is told of the server's work, and to whom.
#[derive(Args)]
pub struct LogArgs {
    /// What goes into the log: error, warn, info, debug or trace, or a list such as `info,simbert::server=debug`.
    #[arg(long, value_name = "LEVEL", env = LOG_VARIABLE, default_value = "info", value_parser = filter)]
    log: String,
    /// How lines of the log are written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Milliseconds from when on a call is slow; the log has a line for each slow call.
    #[arg(long, value_name = "MS", default_value_t = ServerOptions::default().slow_call.as_millis() as u64)]
    slow_call: u64,
    /// Send traces to this collector, by OTLP over gRPC: http://host:port.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// The share of traces that begin here and are sent, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    trace_ratio: f64,
}

impl LogArgs {
    /// Begins the log, and the sending of traces if they are to be sent, within a runtime.
    pub(super) fn start(&self) -> anyhow::Result<Option<Traces>> {
        let options = |endpoint: &String| TraceOptions { endpoint: endpoint.clone(), ratio: self.trace_ratio };
        let traces = self.otlp_endpoint.as_ref().map(|endpoint| Traces::start(&options(endpoint))).transpose()?;
        start(&self.log, self.log_format, traces.as_ref());
        Ok(traces)
    }

    pub(super) fn slow_call(&self) -> Duration {
        Duration::from_millis(self.slow_call)
    }
}

/// What the log's filter is set by.
pub(super) const LOG_VARIABLE: &str = "SIMBERT_LOG";

/// A filter that holds.
fn filter(text: &str) -> Result<String, ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}

/// Sends the log to standard error, as far as the filter lets it.
pub(super) fn start_log(filter: &str) {
    start(filter, LogFormat::Text, None);
}

fn start(filter: &str, format: LogFormat, traces: Option<&Traces>) {
    let colour = std::io::stderr().is_terminal();
    // Fails when there is a log already, which is as good.
    let _ = log(EnvFilter::new(filter), format, colour, std::io::stderr, traces).try_init();
}

/// A subscriber that writes lines to `writer`.
fn log<W>(
    filter: EnvFilter,
    format: LogFormat,
    colour: bool,
    writer: W,
    traces: Option<&Traces>,
) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(colour).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let traces = traces.map(Traces::layer);
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, level: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = log(EnvFilter::new(level), format, false, move || writer.clone(), None);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("call", request_id = "r1", method = "/a/b");
            let _in_span = span.enter();
            tracing::info!(code = "OK", milliseconds = 1.5, "call ended");
            tracing::debug!("a detail");
        });
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn machines_get_an_object_a_line() {
        let text = written(LogFormat::Json, "info");
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["code"]),
            (&"INFO".into(), &"call ended".into(), &"OK".into())
        );
        assert_eq!((&line["milliseconds"], &line["span"]["request_id"]), (&1.5.into(), &"r1".into()));
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn people_get_text_and_the_level_counts() {
        let text = written(LogFormat::Text, "debug");
        assert!(text.contains("INFO call{request_id=\"r1\" method=\"/a/b\"}"), "{text}");
        assert!(text.contains("call ended code=\"OK\" milliseconds=1.5") && text.contains("a detail"), "{text}");
        assert_eq!(written(LogFormat::Text, "warn"), "");
    }
}
