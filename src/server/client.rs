//! A client for the server: the generated clients over one connection, with its options set.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::proto::bank_service_client::BankServiceClient;
use super::proto::embedding_service_client::EmbeddingServiceClient;
use super::proto::paraphrase_service_client::ParaphraseServiceClient;
use super::proto::question_service_client::QuestionServiceClient;
use super::proto::search_service_client::SearchServiceClient;
use super::{ApiKey, ClientTls};
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
    /// Whom to trust, for a server at `https://…`, and who the client is.
    pub tls: Option<ClientTls>,
    /// The key that goes along with every call; in the clear where there is no TLS.
    pub api_key: Option<ApiKey>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Some(Duration::from_secs(60)),
            max_message_bytes: 16 << 20,
            tls: None,
            api_key: None,
        }
    }
}

/// A connection, with what the caller shows on it.
pub type Line = InterceptedService<Channel, Credentials>;

/// What goes along with every call: the API key, if there is one.
#[derive(Debug, Clone)]
pub struct Credentials(Option<MetadataValue<Ascii>>);

impl Credentials {
    /// # Errors
    /// The key has characters that a header cannot carry.
    fn new(key: Option<&ApiKey>) -> Result<Self> {
        let Some(key) = key else { return Ok(Self(None)) };
        let header = MetadataValue::try_from(format!("Bearer {}", key.reveal()));
        // The cause may quote the key.
        let mut header = header.map_err(|_| Error::invalid("API key", "printable ASCII", "something else"))?;
        header.set_sensitive(true); // neither shown nor kept in the tables that compress headers
        Ok(Self(Some(header)))
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// One connection, one field for each service. Cheap to clone; clone it to call from several tasks.
#[derive(Debug, Clone)]
pub struct Client {
    pub banks: BankServiceClient<Line>,
    pub embedding: EmbeddingServiceClient<Line>,
    pub paraphrases: ParaphraseServiceClient<Line>,
    pub questions: QuestionServiceClient<Line>,
    pub search: SearchServiceClient<Line>,
    channel: Channel,
}

impl Client {
    /// Connects to a server, named as `http://host:port`, or `https://host:port` with `tls`.
    ///
    /// # Errors
    /// `url` is no address or of the other kind, a file of `tls` is bad, or nobody who can be trusted answers there.
    pub async fn connect(url: impl Into<String>, options: &ClientOptions) -> Result<Self> {
        let url = url.into();
        let invalid = |expected: &str| Error::invalid("server address", expected, format!("`{url}`"));
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| invalid("`http://host:port` or `https://host:port`"))?
            .tcp_nodelay(true)
            .connect_timeout(options.connect_timeout);
        if let Some(timeout) = options.timeout {
            endpoint = endpoint.timeout(timeout);
        }
        // What is meant to be encrypted never goes out in clear text, and who is not to be trusted is not talked to.
        endpoint = match (endpoint.uri().scheme_str(), &options.tls) {
            (Some("https"), Some(tls)) => endpoint
                .tls_config(tls.config()?)
                .map_err(|e| Error::Internal(format!("TLS cannot be set up: {}", causes(&e))))?,
            (Some("https"), None) => {
                return Err(invalid("the authorities to trust with `https://…`: `--ca FILE`, `ClientOptions::tls`"));
            }
            (Some("http"), None) => endpoint,
            (_, Some(_)) => return Err(invalid("`https://host:port` with authorities or certificates")),
            (_, None) => return Err(invalid("`http://host:port` or `https://host:port`")),
        };
        let unavailable = |reason| Error::Unavailable { what: format!("server `{url}`"), reason };
        let channel = endpoint.connect().await.map_err(|e| unavailable(causes(&e)))?;
        if let Some(tls) = &options.tls {
            greet(channel.clone(), options.connect_timeout, tls.identity.is_some()).await.map_err(unavailable)?;
        }
        let bytes = options.max_message_bytes;
        let credentials = Credentials::new(options.api_key.as_ref())?;
        macro_rules! limited {
            ($client:ident) => {
                $client::with_interceptor(channel.clone(), credentials.clone())
                    .max_decoding_message_size(bytes)
                    .max_encoding_message_size(bytes)
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

    /// The connection itself, for services that are not ours and need no key, such as health.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// Hears whether the server takes the connection. In TLS 1.3 it says so after the handshake, and a call that meets its
/// refusal may only hear that the connection has gone.
async fn greet(channel: Channel, patience: Duration, known: bool) -> Result<(), String> {
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(patience);
    match HealthClient::new(channel).check(request).await {
        // Any answer is one, and tells that the line holds.
        Err(status) if std::error::Error::source(&status).is_some() => {
            let hint = if known { "" } else { "; servers that ask for a certificate (`--client-cert`) do so" };
            Err(format!("it closed the connection ({}){hint}", causes(&status)))
        }
        _ => Ok(()),
    }
}

/// What lies under an error of the transport, as one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
