//! What `simbert serve` lets its callers ask for.

use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, value_parser};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::server::ServerOptions;
use crate::server::limits::{self, Limit, Limits};

/// Files that the server has open besides connections: banks, graphs, the model. Twice that, to be safe.
const OTHER_FILES: u64 = 512;

/// The numbers that a limit can be set to.
fn range(limit: Limit) -> RangedI64ValueParser<u32> {
    let (least, most) = limit.range;
    value_parser!(u32).range(least as i64..=most as i64)
}

macro_rules! limit_args {
    ($($(#[$doc:meta])* $flag:ident: $limit:ident $field:ident;)+) => {
        /// What one call may ask for; `GetModel` tells it to clients.
        #[derive(Args, Debug, Clone)]
        #[command(next_help_heading = "Limits of a call")]
        pub(super) struct CallLimits {
            $(
                $(#[$doc])*
                #[arg(long, value_name = "N", default_value_t = limits::$limit.default as u32,
                    value_parser = range(limits::$limit))]
                $flag: u32,
            )+
        }

        impl CallLimits {
            fn limits(&self) -> Limits {
                Limits { $($field: self.$flag as usize,)+ }
            }
        }
    };
}

limit_args! {
    /// Texts, questions or ids of a call.
    max_items: ITEMS items;
    /// Bytes of a text to encode.
    max_text_bytes: TEXT_BYTES text_bytes;
    /// Bytes of a bank's description.
    max_description_bytes: DESCRIPTION_BYTES description_bytes;
    /// Hits of a search.
    max_hits: HITS hits;
    /// Queries of a batch.
    max_queries: QUERIES queries;
    /// Hits of a whole batch.
    max_batch_hits: BATCH_HITS batch_hits;
    /// Questions or banks of a page.
    max_page: PAGE page;
    /// Similar questions of a reply.
    max_paraphrases: PARAPHRASES paraphrases;
    /// Samples of a generation.
    max_samples: SAMPLES samples;
    /// New tokens of a sample.
    max_sample_tokens: SAMPLE_TOKENS sample_tokens;
    /// Phrases of an expanded search.
    max_phrases: PHRASES phrases;
    /// How deep a filter nests.
    max_filter_depth: FILTER_DEPTH filter_depth;
    /// Conditions of a filter.
    max_filter_conditions: FILTER_CONDITIONS filter_conditions;
    /// Values of all conditions of a filter.
    max_filter_values: FILTER_VALUES filter_values;
}

/// What all callers may have together.
#[derive(Args, Debug, Clone)]
pub(super) struct LimitArgs {
    /// Calls that run at once and share the encoder's batches; 64 for each core when absent.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096))]
    max_concurrent: Option<u32>,
    /// Calls that may wait for their turn; more are turned away.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_waiting,
        value_parser = value_parser!(u32).range(..=1_000_000))]
    max_waiting: u32,
    /// Milliseconds that a call may wait, for its turn and until encoder or decoder begin, until it is turned away.
    #[arg(long, value_name = "MS", default_value_t = ServerOptions::default().max_wait.as_millis() as u64,
        value_parser = value_parser!(u64).range(1..=600_000))]
    max_wait: u64,
    /// MiB for vectors of texts that were asked for lately; 0 keeps none.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = value_parser!(u32).range(..=65_536))]
    pub cache_mib: u32,
    /// Largest message in and out, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = value_parser!(u32).range(1..=1024))]
    max_message: u32,
    /// Bulk upserts and streams of generated questions that are open at once.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_streams,
        value_parser = value_parser!(u32).range(1..=65_536))]
    max_streams: u32,
    /// Snapshots that are taken, sent, received and restored at once.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().max_transfers,
        value_parser = value_parser!(u32).range(1..=1024))]
    max_transfers: u32,
    /// Questions of a bulk upsert that are encoded and committed at once.
    #[arg(long, value_name = "N", default_value_t = ServerOptions::default().bulk_batch as u32,
        value_parser = value_parser!(u32).range(1..=65_536))]
    bulk_batch: u32,
    /// Seconds that a stream may be without a message, or its replies without being read, before its place is given to
    /// others.
    #[arg(long, value_name = "SECONDS",
        default_value_t = ServerOptions::default().stream_idle.as_secs() as u32,
        value_parser = value_parser!(u32).range(1..))]
    stream_idle: u32,
    /// MiB of requests, and of what they become when they are decoded, that are held in memory at once; no less than
    /// `--max-message`.
    #[arg(long, value_name = "MIB",
        default_value_t = (ServerOptions::default().max_received_bytes >> 20) as u32,
        value_parser = value_parser!(u32).range(1..=1 << 20))]
    max_received: u32,
    /// MiB of replies that are held in memory until their callers have read them; no less than `--max-message`.
    #[arg(long, value_name = "MIB",
        default_value_t = (ServerOptions::default().max_unread_bytes >> 20) as u32,
        value_parser = value_parser!(u32).range(1..=1 << 20))]
    max_unread: u32,
    /// Connections of each port that are open at once; who comes then waits.
    #[arg(long, value_name = "N",
        default_value_t = ServerOptions::default().max_connections, value_parser = value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Calls of one connection that are open at once; more wait.
    #[arg(long, value_name = "N",
        default_value_t = ServerOptions::default().max_connection_calls,
        value_parser = value_parser!(u32).range(1..=1_000_000))]
    max_connection_calls: u32,
    /// Seconds that a peer may take over the headers of a request.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerOptions::default().header_timeout.as_secs(),
        value_parser = value_parser!(u64).range(1..=3600))]
    header_timeout: u64,
    /// Seconds that a connection without any call is kept.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerOptions::default().idle_timeout.as_secs(),
        value_parser = value_parser!(u64).range(1..=86_400))]
    idle_timeout: u64,
    /// Seconds that open calls have when the server shuts down.
    #[arg(long, value_name = "SECONDS", default_value_t = ServerOptions::default().grace.as_secs())]
    grace: u64,
    #[command(flatten)]
    of_a_call: CallLimits,
}

impl LimitArgs {
    /// The options with these limits.
    pub fn applied(&self, options: ServerOptions) -> ServerOptions {
        ServerOptions {
            max_concurrent: self.max_concurrent.unwrap_or(options.max_concurrent),
            max_waiting: self.max_waiting,
            max_wait: Duration::from_millis(self.max_wait),
            max_message_bytes: (self.max_message as usize) << 20,
            header_timeout: Duration::from_secs(self.header_timeout),
            idle_timeout: Duration::from_secs(self.idle_timeout),
            grace: Duration::from_secs(self.grace),
            max_streams: self.max_streams,
            max_transfers: self.max_transfers,
            bulk_batch: self.bulk_batch as usize,
            stream_idle: Duration::from_secs(u64::from(self.stream_idle)),
            max_received_bytes: (self.max_received as usize) << 20,
            max_unread_bytes: (self.max_unread as usize) << 20,
            max_connections: self.max_connections,
            max_connection_calls: self.max_connection_calls,
            limits: self.of_a_call.limits(),
            ..options
        }
    }

    /// Lets the process have as many files open as the system allows, since every connection is one; says so when these
    /// are too few.
    pub fn raise_open_files(&self) {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        if files < u64::from(self.max_connections) + OTHER_FILES {
            tracing::warn!(
                files,
                connections = self.max_connections,
                "the system lets this process open fewer files \
                than `--max-connections` wants; raise its hard limit (`ulimit -Hn`), or lower that"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn every_limit_has_its_flag_and_its_range() {
        let command = Alone::command();
        for limit in limits::ALL {
            let flag = limit.flag();
            assert!(command.get_arguments().any(|arg| arg.get_long() == flag.strip_prefix("--")), "{flag}");
            let (least, most) = limit.range;
            for (number, fine) in [(least, true), (most, true), (most + 1, false)] {
                let parsed = command.clone().try_get_matches_from(["serve".to_owned(), format!("{flag}={number}")]);
                assert_eq!(parsed.is_ok(), fine, "{flag}={number}");
            }
        }
    }

    #[test]
    fn without_flags_the_limits_are_the_defaults() {
        let matches = Alone::command().try_get_matches_from(["serve"]).unwrap();
        let options = Alone::from_arg_matches(&matches).unwrap().limits.applied(ServerOptions::default());
        assert_eq!(options, ServerOptions::default());
        let matches = Alone::command().try_get_matches_from(["serve", "--max-hits", "7"]).unwrap();
        let options = Alone::from_arg_matches(&matches).unwrap().limits.applied(ServerOptions::default());
        assert_eq!(options.limits, Limits { hits: 7, ..Limits::default() });
    }
}
