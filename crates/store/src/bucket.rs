//! A bucket of a server that speaks S3.
//!
//! Every request ends: a connection is given up after 5 s, a request whose server says nothing after 30 s. What may be asked
//! again is, for 20 s from the first time on; so a call returns within a minute, whatever becomes of the server.

mod fault;

use std::{sync::Arc, time::Duration};

use futures_util::TryFutureExt;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    client::{HttpClient, HttpConnector},
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path as Key,
    prefix::PrefixStore,
};
use reqwest::redirect;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
use url::Url;

use crate::{StoreError, location::Access};

const CONNECT: Duration = Duration::from_secs(5);
/// Enough for a part of an upload at 200 kB/s.
const SILENCE: Duration = Duration::from_secs(30);
/// With its pauses more than fit into the time: that is what ends it.
const RETRIES: usize = 30;
const RETRY_FOR: Duration = Duration::from_secs(20);
/// Between tries, at random.
const PAUSES: BackoffConfig =
    BackoffConfig { init_backoff: Duration::from_millis(300), max_backoff: Duration::from_secs(3), base: 2. };
/// Names that the server tells at once: as many as S3 allows.
const PAGE: usize = 1000;

/// A bucket, or what begins with a prefix in it.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// `s3://name/prefix`, for messages.
    url: String,
    prefix: String,
    /// The whole bucket.
    s3: AmazonS3,
    /// What begins with the prefix.
    pub(crate) store: Arc<PrefixStore<AmazonS3>>,
    has_keys: bool,
}

impl Bucket {
    /// Asks nobody yet.
    pub(crate) fn new(name: &str, prefix: &str, access: &Access) -> Result<Self, StoreError> {
        let endpoint = access.get("AWS_ENDPOINT_URL_S3").or_else(|| access.get("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.or_else(|| access.get("AWS_ENDPOINT"));
        let is_plain = endpoint.map(is_plain_http).transpose()?.unwrap_or(false);
        let has_keys = match (access.get("AWS_ACCESS_KEY_ID"), access.get("AWS_SECRET_ACCESS_KEY")) {
            (Some(_), Some(_)) => true,
            (None, None) => false,
            (Some(_), None) => return Err(wrong("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not")),
            (None, Some(_)) => return Err(wrong("AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not")),
        };
        let mut builder = AmazonS3Builder::new();
        for (variable, value) in access.iter().filter(|(_, value)| !value.is_empty()) {
            // Variables of other programs are none of ours.
            if let Ok(key) = variable.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        let s3 = builder
            .with_bucket_name(name)
            // The server compares what arrived with it, as it does with the checksum in the signature.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_client_options(ClientOptions::new().with_allow_http(is_plain))
            .with_retry(RetryConfig { backoff: PAUSES, max_retries: RETRIES, retry_timeout: RETRY_FOR })
            .with_http_connector(Connector(tls()))
            .build()
            // It names the variable, and shows no value but of what is yes or no.
            .map_err(|error| wrong(&error.to_string()))?;
        let prefix = prefix.to_owned();
        let url = if prefix.is_empty() { format!("s3://{name}") } else { format!("s3://{name}/{prefix}") };
        let store = Arc::new(PrefixStore::new(s3.clone(), prefix.as_str()));
        Ok(Self { url, prefix, s3, store, has_keys })
    }

    /// Where an object stands, for messages.
    pub(crate) fn path(&self, key: &Key) -> String {
        if key.as_ref().is_empty() { self.url.clone() } else { format!("{}/{key}", self.url) }
    }

    /// Whether what was not found is the bucket, rather than an object in it.
    pub(crate) fn is_missing(error: &object_store::Error) -> bool {
        fault::is_of_bucket(error)
    }

    /// Whether what was refused is a condition on what is there, by a server that knows none or was said to.
    pub(crate) fn knows_no_conditions(error: &object_store::Error) -> bool {
        matches!(error, object_store::Error::NotImplemented { .. }) || fault::is_not_implemented(error)
    }

    pub(crate) fn error(&self, key: &Key, error: &object_store::Error) -> StoreError {
        fault::told(self.path(key).into(), self.has_keys, error)
    }

    /// Whether there is an object with just this key. Asked as a list, in which it would come first: a server over a file system
    /// may take the question for it amiss where a folder has its name.
    pub(crate) async fn has(&self, key: &Key) -> Result<bool, StoreError> {
        let whole = Key::from_iter(Key::from(self.prefix.as_str()).parts().chain(key.parts()));
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let listed = self.s3.list_paginated(Some(whole.as_ref()), options);
        let page = listed.map_err(|error| self.error(key, &error)).await?;
        Ok(page.result.objects.first().is_some_and(|first| first.location == whole))
    }

    /// The names that come next after these, in their order; of more than so many the first. Holds a page at a time besides.
    pub(crate) async fn names(&self, folder: &Key, most: usize) -> Result<Vec<String>, StoreError> {
        let parts = [self.prefix.as_str(), folder.as_ref()].into_iter().filter(|part| !part.is_empty());
        let prefix = parts.map(|part| format!("{part}/")).collect::<String>();
        let mut names = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions {
                delimiter: Some("/".into()),
                max_keys: Some(PAGE),
                page_token,
                ..PaginatedListOptions::default()
            };
            let listed = self.s3.list_paginated(Some(&prefix), options);
            let page = listed.map_err(|error| self.error(folder, &error)).await?;
            let objects = page.result.objects.into_iter().map(|object| object.location);
            let places = page.result.common_prefixes.into_iter().chain(objects);
            names.extend(places.filter_map(|place| place.filename().map(str::to_owned)));
            page_token = page.page_token;
            if page_token.is_none() || names.len() >= most {
                names.sort_unstable();
                names.truncate(most);
                return Ok(names);
            }
        }
    }
}

fn wrong(reason: &str) -> StoreError {
    StoreError::InvalidLocation { reason: reason.into() }
}

/// Whether this endpoint is reached without TLS, which only its own scheme allows.
fn is_plain_http(endpoint: &str) -> Result<bool, StoreError> {
    let not_shown = "AWS_ENDPOINT_URL has the form https://host:port, without a user and a password";
    let url = Url::parse(endpoint).map_err(|_| wrong(not_shown))?;
    match url.scheme() {
        "http" | "https" if url.has_host() && url.username().is_empty() && url.password().is_none() => {
            Ok(url.scheme() == "http")
        }
        _ => Err(wrong(not_shown)),
    }
}

/// Makes clients with ring as their cryptography, whatever else is in the process.
#[derive(Debug)]
struct Connector(ClientConfig);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // For a server of that scheme, and for the machine's own service that hands out keys.
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.0.clone())
            .https_only(!allows_http)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build();
        let client = client.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}

/// Certificates as the machine trusts them, or Mozilla's where it has none.
fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
