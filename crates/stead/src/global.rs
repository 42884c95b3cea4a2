//! Options that every command has: flags and variables go in once, settings in the domain's own words come out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use repo::compress::Compression;

use crate::environment::{self, variable};
use crate::failure::{Failure, Outcome};
use crate::output::{Format, Output};
use crate::password::PasswordSource;
use crate::render::time::parse_duration;

/// Flags that every command takes. What is not given is taken from `STEAD_…`, then from restic's `RESTIC_…` variables.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Where the repository is: a directory, sftp:user@host:/dir, rest:https://host/, s3:https://host/bucket, rclone:remote:dir [env: RESTIC_REPOSITORY]
    #[arg(short, long, global = true, value_name = "LOCATION")]
    repo: Option<String>,
    /// Read the repository's location from a file [env: RESTIC_REPOSITORY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    repository_file: Option<PathBuf>,
    /// Read the password from a file [env: RESTIC_PASSWORD_FILE; or RESTIC_PASSWORD with the password itself]
    #[arg(short, long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Run a command that prints the password [env: RESTIC_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND")]
    password_command: Option<String>,
    /// Use an empty password, which protects nothing
    #[arg(long, global = true)]
    insecure_no_password: bool,
    /// Id of the key to try first [env: RESTIC_KEY_HINT]
    #[arg(long, global = true, value_name = "ID")]
    key_hint: Option<String>,
    /// Do not lock the repository: for reading from storage that cannot be written
    #[arg(long, global = true)]
    no_lock: bool,
    /// Wait this long for others' locks, such as 5m or 2h
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    retry_lock: Option<Duration>,
    /// Upload at most this many KiB per second
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    limit_upload: Option<u64>,
    /// Download at most this many KiB per second
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    limit_download: Option<u64>,
    /// Set an option of the storage, such as s3.region=eu-1 or sftp.connections=4
    #[arg(short, long = "option", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    option: Vec<(String, String)>,
    /// Trust only the authorities in this file [env: RESTIC_CACERT]
    #[arg(long, global = true, value_name = "FILE")]
    cacert: Vec<PathBuf>,
    /// Show the certificate in this file (with its key) to the server [env: RESTIC_TLS_CLIENT_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    tls_client_cert: Option<PathBuf>,
    /// Believe any server's certificate, which makes TLS worthless
    #[arg(long, global = true)]
    insecure_tls: bool,
    /// Call ourselves this when speaking HTTP (default: stead/ and the version)
    #[arg(long, global = true, value_name = "AGENT")]
    http_user_agent: Option<String>,
    /// Give up a request to the storage that shows no progress for this long, and send it again (default: 5m)
    #[arg(long, global = true, value_name = "DURATION", value_parser = positive_duration)]
    stuck_request_timeout: Option<Duration>,
    /// How hard to compress what is written: auto, off, fastest, better, max [env: RESTIC_COMPRESSION]
    #[arg(long, global = true, value_name = "MODE", value_parser = compression)]
    compression: Option<Compression>,
    /// Target size of pack files in MiB, 4 to 128 [env: RESTIC_PACK_SIZE]
    #[arg(long, global = true, value_name = "MIB", value_parser = pack_size)]
    pack_size: Option<u64>,
    /// Keep the cache in this directory [env: RESTIC_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    cache_dir: Option<PathBuf>,
    /// Use no cache
    #[arg(long, global = true)]
    no_cache: bool,
    /// Remove caches that were not used for a month
    #[arg(long, global = true)]
    cleanup_cache: bool,
    /// Speak JSON, in restic's messages
    #[arg(long, global = true)]
    json: bool,
    /// Say only what was asked for and what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; twice, every file
    #[arg(short, long, global = true, value_name = "LEVEL", action = ArgAction::Append, num_args = 0..=1,
          require_equals = true, default_missing_value = "+")]
    verbose: Vec<String>,
    /// Accepted for restic's sake: what is uploaded is always verified
    #[arg(long, global = true, hide = true)]
    no_extra_verify: bool,
}

/// What every command knows about its surroundings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The repository, if the user named one.
    pub(crate) location: Option<String>,
    /// Its password.
    pub(crate) password: PasswordSource,
    /// Key to try first.
    pub(crate) key_hint: Option<String>,
    /// Whether and how long to try to lock.
    pub(crate) locking: Locking,
    /// How storage is spoken to.
    pub(crate) storage: StorageSettings,
    /// For what is written.
    pub(crate) compression: Compression,
    /// Target size of packs in bytes.
    pub(crate) pack_size: u64,
    /// Where caches are; `None` for none.
    pub(crate) cache: Option<PathBuf>,
    /// Whether old caches are removed on the way.
    pub(crate) cleanup_cache: bool,
    /// How we talk.
    pub(crate) output: Output,
    /// Status messages per second, if the user chose.
    pub(crate) progress_rate: Option<f64>,
}

/// Whether a repository is locked while it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locking {
    /// Not at all, as `--no-lock` asks.
    None,
    /// Locked; others' locks are waited for as long as this.
    Wait(Duration),
}

/// How storage is spoken to.
#[derive(Clone, Debug, Default)]
pub(crate) struct StorageSettings {
    /// `-o` options.
    pub(crate) options: BTreeMap<String, String>,
    /// Authorities to trust.
    pub(crate) authorities: Vec<PathBuf>,
    /// Our certificate.
    pub(crate) identity: Option<PathBuf>,
    /// Believe any certificate.
    pub(crate) insecure_tls: bool,
    /// What we call ourselves, if the user chose.
    pub(crate) user_agent: Option<String>,
    /// How long a request may show no progress, if the user chose.
    pub(crate) stuck_after: Option<Duration>,
    /// Bytes per second, upwards.
    pub(crate) upload_limit: Option<u64>,
    /// Bytes per second, downwards.
    pub(crate) download_limit: Option<u64>,
}

/// Packs unless the user says otherwise: restic's size.
const PACK_SIZE_MIB: u64 = 16;

impl GlobalArgs {
    /// Joins flags and variables.
    pub(crate) fn settings(&self) -> Outcome<Settings> {
        let output = self.output()?;
        if self.no_extra_verify {
            output.warn("--no-extra-verify changes nothing: what is uploaded is always verified");
        }
        Ok(Settings {
            location: self.location()?,
            password: self.password(),
            key_hint: self.key_hint.clone().or_else(|| environment::text("KEY_HINT")),
            locking: if self.no_lock { Locking::None } else { Locking::Wait(self.retry_lock.unwrap_or_default()) },
            storage: self.storage(),
            compression: chosen(self.compression, "COMPRESSION", compression)?.unwrap_or_default(),
            pack_size: chosen(self.pack_size, "PACK_SIZE", pack_size)?.unwrap_or(PACK_SIZE_MIB) << 20,
            cache: self.cache(),
            cleanup_cache: self.cleanup_cache,
            output,
            progress_rate: chosen(None, "PROGRESS_FPS", progress_rate)?,
        })
    }

    /// How to talk, which must be known before anything else can fail.
    pub(crate) fn output(&self) -> Outcome<Output> {
        let format = if self.json { Format::Json } else { Format::Text };
        let mut level = if self.quiet { 0 } else { 1 };
        for verbose in &self.verbose {
            level = match verbose.as_str() {
                "+" => level + 1,
                number => {
                    1 + number
                        .parse::<u8>()
                        .ok()
                        .filter(|level| *level <= 2)
                        .ok_or_else(|| Failure::new(format!("`--verbose={number}` is no level between 0 and 2")))?
                }
            };
        }
        Ok(Output { format, level: level.min(3) })
    }

    fn location(&self) -> Outcome<Option<String>> {
        let file = self.repository_file.clone().filter(|_| self.repo.is_none());
        if self.repo.is_some() && self.repository_file.is_some() {
            return Err(Failure::new("--repo and --repository-file were both given: choose one"));
        }
        named_location(self.repo.clone(), file, "")
    }

    fn password(&self) -> PasswordSource {
        let given = self.password_file.is_some() || self.password_command.is_some();
        named_password(self.password_file.clone(), self.password_command.clone(), self.insecure_no_password, given, "")
    }

    fn storage(&self) -> StorageSettings {
        let authorities = match self.cacert.is_empty() {
            true => variable("CACERT").map(|paths| split_list(&paths.to_string_lossy())).unwrap_or_default(),
            false => self.cacert.clone(),
        };
        StorageSettings {
            options: self.option.iter().cloned().collect(),
            authorities,
            identity: self.tls_client_cert.clone().or_else(|| variable("TLS_CLIENT_CERT").map(PathBuf::from)),
            insecure_tls: self.insecure_tls,
            user_agent: self.http_user_agent.clone(),
            stuck_after: self.stuck_request_timeout,
            upload_limit: self.limit_upload.filter(|rate| *rate > 0).map(|rate| rate.saturating_mul(1024)),
            download_limit: self.limit_download.filter(|rate| *rate > 0).map(|rate| rate.saturating_mul(1024)),
        }
    }

    fn cache(&self) -> Option<PathBuf> {
        if self.no_cache {
            return None;
        }
        let named = self.cache_dir.clone().or_else(|| variable("CACHE_DIR").map(PathBuf::from));
        named.or_else(environment::cache_directory)
    }
}

/// A repository's location from flags, else from variables; `prefix` is `FROM_` for the source of a copy.
pub(crate) fn named_location(location: Option<String>, file: Option<PathBuf>, prefix: &str) -> Outcome<Option<String>> {
    if location.is_some() {
        return Ok(location);
    }
    let from_variable = || environment::text(&format!("{prefix}REPOSITORY"));
    let Some(file) = file.or_else(|| {
        variable(&format!("{prefix}REPOSITORY_FILE")).map(PathBuf::from).filter(|_| from_variable().is_none())
    }) else {
        return Ok(from_variable());
    };
    let content = std::fs::read_to_string(&file)
        .map_err(|error| Failure::io("read the repository's location from", &file, error))?;
    match content.trim() {
        "" => Err(Failure::new(format!("{} names no repository", file.display()))),
        location => Ok(Some(location.to_owned())),
    }
}

/// A password's place from flags, else from variables; a flag makes variables silent.
pub(crate) fn named_password(
    file: Option<PathBuf>,
    command: Option<String>,
    none: bool,
    given: bool,
    prefix: &str,
) -> PasswordSource {
    let unless_given = |name: &str| variable(&format!("{prefix}{name}")).filter(|_| !given);
    PasswordSource {
        none,
        file: file.or_else(|| unless_given("PASSWORD_FILE").map(PathBuf::from)),
        command: command.or_else(|| unless_given("PASSWORD_COMMAND").map(|text| text.to_string_lossy().into_owned())),
        value: unless_given("PASSWORD").map(|text| text.to_string_lossy().into_owned()),
    }
}

/// A flag's value, else a variable's, parsed by the same function.
pub(crate) fn chosen<T>(flag: Option<T>, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Outcome<Option<T>> {
    match (flag, environment::text(name)) {
        (Some(flag), _) => Ok(Some(flag)),
        (None, Some(text)) => parse(&text).map(Some).map_err(|error| Failure::new(format!("variable {name}: {error}"))),
        (None, None) => Ok(None),
    }
}

fn split_list(paths: &str) -> Vec<PathBuf> {
    paths.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("an option is written KEY=VALUE")?;
    Ok((key.trim().to_lowercase(), value.trim().to_owned()))
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration.is_zero() { Err(format!("`{text}` leaves no time")) } else { Ok(duration) }
}

fn compression(text: &str) -> Result<Compression, String> {
    match text {
        "auto" => Ok(Compression::Auto),
        "off" => Ok(Compression::Off),
        "fastest" => Ok(Compression::Fastest),
        "better" => Ok(Compression::Better),
        "max" => Ok(Compression::Max),
        _ => Err(format!("`{text}` is not one of auto, off, fastest, better, max")),
    }
}

fn pack_size(text: &str) -> Result<u64, String> {
    let size = text.parse().map_err(|_| format!("`{text}` is no number of MiB"))?;
    if (4..=128).contains(&size) { Ok(size) } else { Err(format!("{size} MiB is not between 4 and 128 MiB")) }
}

fn progress_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is no number of times per second"))?;
    if rate > 0.0 && rate.is_finite() { Ok(rate.min(60.0)) } else { Err(format!("`{text}` is not positive")) }
}

fn rate(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number of KiB per second, such as 500"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        global: GlobalArgs,
        words: Vec<String>,
    }

    fn level(args: &[&str]) -> u8 {
        let line = Line::parse_from(std::iter::once(&"stead").chain(args));
        line.global.output().expect("a level").level
    }

    #[test]
    fn verbosity_is_counted_or_named() {
        assert_eq!(level(&[]), 1);
        assert_eq!(level(&["-q"]), 0);
        assert_eq!(level(&["-v", "word"]), 2);
        assert_eq!(level(&["-vv", "word"]), 3);
        assert_eq!(level(&["-v", "--verbose"]), 3);
        assert_eq!(level(&["--verbose=2"]), 3);
        assert_eq!(level(&["-vvvv"]), 3);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for args in [
            ["--pack-size", "3"],
            ["--pack-size", "129"],
            ["--compression", "zip"],
            ["--retry-lock", "soon"],
            ["--stuck-request-timeout", "0s"],
            ["--limit-upload", "1M"],
            ["-o", "x"],
        ] {
            assert!(Line::try_parse_from(["stead", args[0], args[1]]).is_err(), "{args:?}");
        }
    }
}
