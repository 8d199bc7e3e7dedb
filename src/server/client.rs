//! A client for the server: the generated clients over one connection, with its options set.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::proto::bank_service_client::BankServiceClient;
use super::proto::embedding_service_client::EmbeddingServiceClient;
use super::proto::paraphrase_service_client::ParaphraseServiceClient;
use super::proto::question_service_client::QuestionServiceClient;
use super::proto::search_service_client::SearchServiceClient;
use crate::{Error, Result};

/// How a client connects and calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call may take, where it names no other time itself. For a stream: until its first reply.
    /// A call that takes longer ends as CANCELLED.
    pub timeout: Option<Duration>,
    /// Bytes of the largest message in and out.
    pub max_message_bytes: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Some(Duration::from_secs(60)),
            max_message_bytes: 16 << 20,
        }
    }
}

/// One connection, one field for each service. Cheap to clone; clone it to call from several tasks.
#[derive(Debug, Clone)]
pub struct Client {
    pub banks: BankServiceClient<Channel>,
    pub embedding: EmbeddingServiceClient<Channel>,
    pub paraphrases: ParaphraseServiceClient<Channel>,
    pub questions: QuestionServiceClient<Channel>,
    pub search: SearchServiceClient<Channel>,
    channel: Channel,
}

impl Client {
    /// Connects to a server, named as `http://host:port`.
    ///
    /// # Errors
    /// `url` is no address, or nobody answers there.
    pub async fn connect(url: impl Into<String>, options: &ClientOptions) -> Result<Self> {
        let url = url.into();
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| Error::invalid("server address", "`http://host:port`", format!("`{url}`")))?
            .tcp_nodelay(true)
            .connect_timeout(options.connect_timeout);
        if let Some(timeout) = options.timeout {
            endpoint = endpoint.timeout(timeout);
        }
        let channel = endpoint.connect().await.map_err(|e| {
            let reason = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            Error::Unavailable { what: format!("server `{url}`"), reason }
        })?;
        let bytes = options.max_message_bytes;
        macro_rules! limited {
            ($client:ident) => {
                $client::new(channel.clone()).max_decoding_message_size(bytes).max_encoding_message_size(bytes)
            };
        }
        Ok(Self {
            banks: limited!(BankServiceClient),
            embedding: limited!(EmbeddingServiceClient),
            paraphrases: limited!(ParaphraseServiceClient),
            questions: limited!(QuestionServiceClient),
            search: limited!(SearchServiceClient),
            channel,
        })
    }

    /// The connection itself, for services that are not ours, such as health.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}
