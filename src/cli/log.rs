//! The log: to standard error, for people or for machines; and traces beside it.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::server::Traces;

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line: `timestamp`, `level`, `target`, `message`, what the event says of itself, and under `span`
    /// what is known of its call, such as the request id.
    Json,
}

/// Sends the log to standard error, at `level` unless `SIMBERT_LOG` names another.
pub(super) fn start_log(level: &str) {
    start_log_as(level, LogFormat::Text, None);
}

/// The same in a format, with traces beside it.
pub(super) fn start_log_as(level: &str, format: LogFormat, traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_env("SIMBERT_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let colour = std::io::stderr().is_terminal();
    // Fails when there is a log already, which is as good.
    let _ = log(filter, format, colour, std::io::stderr, traces).try_init();
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
