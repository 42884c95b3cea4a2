//! What a backend may be told when it is opened.

use std::collections::BTreeMap;

use std::sync::Arc;
use std::time::Duration;

use crate::http::HttpOptions;
use crate::runtime::STUCK;
use crate::{Class, Error, Limiter, Result, Road};

/// When the size of a file that was just written is asked for. Object stores are always asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadBack {
    /// When the answer to the write was lost or unclear.
    #[default]
    WhenUnclear,
    /// After every write.
    Always,
}

/// What a backend may be told when it is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Settings as `-o key=value` gives them; see [`Options::set`] for the names.
    pub settings: BTreeMap<String, String>,
    /// Credentials by the names of restic's environment variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_SESSION_TOKEN`, `AWS_DEFAULT_REGION`, `AZURE_ACCOUNT_NAME`, `AZURE_ACCOUNT_KEY`, `AZURE_ACCOUNT_SAS`,
    /// `AZURE_ENDPOINT_SUFFIX`, `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_ACCESS_TOKEN`, `RESTIC_REST_USERNAME`,
    /// `RESTIC_REST_PASSWORD`, and the others that [`CREDENTIALS`] lists.
    pub credentials: BTreeMap<String, String>,
    /// Certificates, proxies, and who we say we are.
    pub http: HttpOptions,
    /// How many files are read or written at once, unless a setting says it; none means what suits the storage.
    pub connections: Option<usize>,
    /// When the size of a file that was just written is asked for.
    pub read_back: ReadBack,
    /// How long a request over a network may show no progress before it has failed; none means five minutes.
    pub stuck_after: Option<Duration>,
    /// Bandwidth, counted on the wire where the storage is reached over a network.
    pub limiter: Option<Arc<Limiter>>,
    /// Says when the network is another one, so that REST requests do not wait for what cannot come any more.
    pub road: Option<Road>,
}

/// Names that [`Options::credentials`] knows, for callers that read them from the environment.
pub const CREDENTIALS: [&str; 25] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_ENDPOINT_URL_STS",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS",
    "AZURE_ENDPOINT_SUFFIX",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_ACCESS_TOKEN",
    "STORAGE_EMULATOR_HOST",
    "RESTIC_REST_USERNAME",
    "RESTIC_REST_PASSWORD",
];

/// Settings that `-o` knows, and what they do.
pub const SETTINGS: [(&str, &str); 18] = [
    ("local.connections", "files read or written at once (default 4)"),
    ("sftp.command", "program that speaks SFTP on its standard input and output, in place of ssh"),
    ("sftp.args", "further arguments for ssh"),
    ("sftp.connections", "files read or written at once (default 5)"),
    ("rest.connections", "requests at once (default 5)"),
    ("rclone.program", "how rclone is started (default rclone)"),
    ("rclone.args", "arguments for rclone (default serve restic --stdio --b2-hard-delete)"),
    ("rclone.connections", "requests at once (default 5)"),
    ("rclone.timeout", "seconds to wait for rclone to start, or as 90s, 2m (default 1m)"),
    ("s3.connections", "requests at once (default 5)"),
    ("s3.region", "region of the bucket (default: asked for, or us-east-1)"),
    ("s3.bucket-lookup", "where the bucket's name goes: auto, dns or path (default auto)"),
    ("s3.storage-class", "storage class of new objects; archive classes apply to packs only"),
    ("s3.unsafe-anonymous-auth", "true: ask without credentials, for public buckets"),
    ("azure.connections", "requests at once (default 5)"),
    ("azure.endpoint", "address of the account where it is not Azure's own, such as http://127.0.0.1:10000/account"),
    ("gs.connections", "requests at once (default 5)"),
    ("gs.endpoint", "address of a server that speaks Google's protocol, such as http://127.0.0.1:4443"),
];

impl Options {
    /// Takes a setting in the form `key=value`; an unknown key is an error that names the known ones.
    pub fn set(&mut self, setting: &str) -> Result<()> {
        let bad = |message: &str| Error::new(Class::Permanent, "use", format!("-o {setting}"), message);
        let (key, value) = setting.split_once('=').ok_or_else(|| bad("expected key=value"))?;
        let key = key.trim().to_lowercase();
        let known = || SETTINGS.iter().map(|(name, _)| *name);
        if known().any(|name| name == key) {
            self.settings.insert(key, value.trim().to_owned());
            return Ok(());
        }
        let kind = key.split('.').next().unwrap_or_default();
        let mut near: Vec<&str> = known().filter(|name| name.split('.').next() == Some(kind)).collect();
        if near.is_empty() {
            near = known().collect();
        }
        Err(bad(&format!("there is no such setting; there are {}", near.join(", "))))
    }

    /// How long a request may show no progress.
    pub(crate) fn patience(&self) -> Duration {
        self.stuck_after.unwrap_or(STUCK)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn connections(&self, key: &str, default: usize) -> Result<usize> {
        let Some(value) = self.get(key) else { return Ok(self.connections.unwrap_or(default).clamp(1, 512)) };
        match value.parse() {
            Ok(count @ 1..=512) => Ok(count),
            _ => Err(bad_value(key, value, "a number from 1 to 512")),
        }
    }

    pub(crate) fn seconds(&self, key: &str, default: u64) -> Result<Duration> {
        let Some(value) = self.get(key) else { return Ok(Duration::from_secs(default)) };
        let (number, unit) = match value.strip_suffix(['s', 'm', 'h']) {
            Some(number) => (number, &value[number.len()..]),
            None => (value, "s"),
        };
        let factor = if unit == "h" {
            3600
        } else if unit == "m" {
            60
        } else {
            1
        };
        match number.parse::<u32>() {
            Ok(count @ 1..) => Ok(Duration::from_secs(u64::from(count) * factor)),
            _ => Err(bad_value(key, value, "seconds, or a number with s, m or h")),
        }
    }
}

/// The error for a setting whose value is not what it should be.
pub(crate) fn bad_value(key: &str, value: &str, expected: &str) -> Error {
    Error::new(Class::Permanent, "use", format!("-o {key}={value}"), format!("expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_names_the_known_ones() {
        let error = Options::default().set("s3.conections=3").unwrap_err().to_string();
        assert!(error.contains("s3.connections") && !error.contains("sftp.args"), "{error}");
        assert!(Options::default().set("nonsense").is_err());
        assert!(Options::default().set("foo.bar=1").unwrap_err().to_string().contains("sftp.command"));
    }

    #[test]
    fn values_are_checked() {
        let mut options = Options::default();
        options.set("rest.connections=0").unwrap();
        options.set("rclone.timeout=2m").unwrap();
        assert!(options.connections("rest.connections", 5).is_err());
        assert_eq!(options.connections("sftp.connections", 5).unwrap(), 5);
        assert_eq!(options.seconds("rclone.timeout", 60).unwrap().as_secs(), 120);
    }
}
