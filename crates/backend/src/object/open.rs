//! Opening an object store: who we are there and how it is addressed.

use std::collections::BTreeMap;

use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum, resolve_bucket_region};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;

use super::service::Service;
use super::*;
use crate::http::{HttpOptions, client};

/// Names and values of credentials, as restic's environment variables are called.
type Credentials = BTreeMap<String, String>;

/// A bucket of an S3 server.
pub(crate) struct S3<'a> {
    /// `https://host[:port]` or `http://host[:port]`.
    pub(crate) endpoint: &'a str,
    pub(crate) bucket: &'a str,
    pub(crate) region: Option<&'a str>,
    pub(crate) lookup: Lookup,
    pub(crate) storage_class: Option<String>,
    /// Ask without saying who we are, for public buckets.
    pub(crate) anonymous: bool,
}

/// Where a bucket's name goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Into the host for Amazon, else into the path.
    Auto,
    /// Into the host.
    Dns,
    /// Into the path.
    Path,
}

/// What every store needs to know.
pub(crate) struct Place<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) location: String,
    pub(crate) connections: usize,
    /// How long an operation may show no progress.
    pub(crate) patience: Duration,
    pub(crate) credentials: &'a Credentials,
    pub(crate) http: &'a HttpOptions,
}

impl Place<'_> {
    fn get(&self, name: &str) -> Option<&String> {
        self.credentials.get(name).filter(|value| !value.is_empty())
    }

    fn need(&self, name: &str) -> Result<&String> {
        let missing = || Error::new(Class::Rejected, "open", &self.location, format!("{name} is not set"));
        self.get(name).ok_or_else(missing)
    }

    fn service(&self) -> Result<Service> {
        let _runtime = crate::runtime::enter();
        Ok(Service(client(self.http, None)?))
    }

    fn bad(&self, error: &StoreError) -> Error {
        Error::new(Class::Permanent, "open", &self.location, error)
    }

    fn objects(&self, store: impl ObjectStore, knows_tail: bool, known_condition: u8) -> Objects {
        let prefix = self.prefix.trim_matches('/');
        Objects {
            store: Box::new(store),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            location: self.location.clone(),
            connections: self.connections,
            patience: self.patience,
            storage_class: None,
            knows_tail: AtomicBool::new(knows_tail),
            condition: AtomicU8::new(known_condition),
            turns: Turns::default(),
            known: AtomicBool::new(false),
        }
    }
}

/// Our own wrapper tries again, knowing what helps; the library does not.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// Opens a bucket of an S3 server.
pub(crate) fn s3(s3: &S3<'_>, place: &Place<'_>) -> Result<Objects> {
    let host = s3.endpoint.split_once("://").map_or(s3.endpoint, |(_, host)| host);
    let amazon = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(s3.bucket)
        .with_region(region(s3, amazon, place)?)
        .with_allow_http(s3.endpoint.starts_with("http://"))
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(no_retries())
        .with_http_connector(place.service()?)
        .with_skip_signature(s3.anonymous);
    let in_host = match s3.lookup {
        Lookup::Dns => true,
        Lookup::Path => false,
        // A dot in the bucket's name would not match the certificate.
        Lookup::Auto => amazon.is_some() && !s3.bucket.contains('.'),
    };
    builder = builder.with_virtual_hosted_style_request(in_host);
    if amazon.is_none() {
        let (scheme, host) = s3.endpoint.split_once("://").unwrap_or(("https", s3.endpoint));
        let bucket = s3.bucket;
        builder = builder.with_endpoint(match in_host {
            true => format!("{scheme}://{bucket}.{host}"),
            false => format!("{scheme}://{host}"),
        });
    }
    if !s3.anonymous {
        builder = with_aws_credentials(builder, amazon.is_some(), place)?;
    }
    let store = builder.build().map_err(|error| place.bad(&error))?;
    let known = if amazon.is_some() { condition::HONOURED } else { condition::UNKNOWN };
    Ok(Objects { storage_class: s3.storage_class.clone(), ..place.objects(store, true, known) })
}

fn region(s3: &S3<'_>, amazon: Option<&str>, place: &Place<'_>) -> Result<String> {
    let given = s3.region.or(place.get("AWS_REGION").or(place.get("AWS_DEFAULT_REGION")).map(String::as_str));
    if let Some(region) = given {
        return Ok(region.to_owned());
    }
    // s3.eu-central-1 and s3.dualstack.eu-central-1 say it, s3 alone does not.
    let named = amazon.and_then(|host| host.rsplit_once('.')).map(|(_, region)| region);
    match (amazon, named) {
        (None, _) => Ok("us-east-1".into()),
        (Some(_), Some(region)) => Ok(region.to_owned()),
        (Some(_), None) => {
            let asked = block_on(resolve_bucket_region(s3.bucket, &object_store::ClientOptions::new()));
            asked.map_err(|error| Error::new(Class::Offline, "find the region of", &place.location, error))
        }
    }
}

/// Keys if they are given; Amazon's own machines may also be known by their role.
fn with_aws_credentials(mut builder: AmazonS3Builder, amazon: bool, place: &Place<'_>) -> Result<AmazonS3Builder> {
    if !amazon {
        place.need("AWS_ACCESS_KEY_ID")?;
        place.need("AWS_SECRET_ACCESS_KEY")?;
    }
    const NAMES: [&str; 10] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_ENDPOINT_URL_STS",
    ];
    for name in NAMES {
        let Some(value) = place.get(name) else { continue };
        let key: AmazonS3ConfigKey = name.to_lowercase().parse().map_err(|error| place.bad(&error))?;
        builder = builder.with_config(key, value);
    }
    Ok(builder)
}

/// Opens a container of Azure's blob storage; `endpoint` is the account's address where it is not Azure's own.
pub(crate) fn azure(container: &str, endpoint: Option<&str>, place: &Place<'_>) -> Result<Objects> {
    let account = place.need("AZURE_ACCOUNT_NAME")?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_retry(no_retries())
        .with_http_connector(place.service()?);
    if let Some(key) = place.get("AZURE_ACCOUNT_KEY") {
        builder = builder.with_access_key(key);
    } else if let Some(token) = place.get("AZURE_ACCOUNT_SAS") {
        builder = builder.with_config(AzureConfigKey::SasKey, token);
    }
    let others = [
        ("AZURE_CLIENT_ID", AzureConfigKey::ClientId),
        ("AZURE_CLIENT_SECRET", AzureConfigKey::ClientSecret),
        ("AZURE_TENANT_ID", AzureConfigKey::AuthorityId),
        ("AZURE_FEDERATED_TOKEN_FILE", AzureConfigKey::FederatedTokenFile),
    ];
    for (name, key) in others {
        if let Some(value) = place.get(name) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.to_owned()).with_allow_http(endpoint.starts_with("http://"));
    } else if let Some(suffix) = place.get("AZURE_ENDPOINT_SUFFIX") {
        builder = builder.with_endpoint(format!("https://{account}.blob.{suffix}"));
    }
    let store = builder.build().map_err(|error| place.bad(&error))?;
    Ok(place.objects(store, false, condition::HONOURED))
}

/// Opens a bucket of Google Cloud Storage, or of a server at `endpoint` that speaks like it; the variable that Google's
/// own libraries know for such servers does the same.
pub(crate) fn google(bucket: &str, endpoint: Option<&str>, place: &Place<'_>) -> Result<Objects> {
    let emulator = place.get("STORAGE_EMULATOR_HOST").map(|host| match host.contains("://") {
        true => host.clone(),
        false => format!("http://{host}"),
    });
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_retry(no_retries())
        .with_http_connector(place.service()?);
    if let Some(token) = place.get("GOOGLE_ACCESS_TOKEN") {
        builder = builder.with_bearer_token(token);
    } else if let Some(path) = place.get("GOOGLE_APPLICATION_CREDENTIALS") {
        builder = builder.with_application_credentials(path);
    } else if emulator.is_some() {
        builder = builder.with_skip_signature(true);
    }
    if let Some(endpoint) = endpoint.or(emulator.as_deref()) {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    let store = builder.build().map_err(|error| place.bad(&error))?;
    Ok(place.objects(store, true, condition::HONOURED))
}
