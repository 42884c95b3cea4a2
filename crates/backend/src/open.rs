//! From a location and options to a backend.

use std::sync::Arc;

use crate::limit::Pace;
use crate::object::{self, Lookup, Place, S3};
use crate::options::bad_value;
use crate::rclone::{Rclone, Timing};
use crate::rest::{Connection, Rest};
use crate::sftp::Sftp;
use crate::{Backend, Limit, Local, Location, Options, Result, SftpLocation, child, rclone};

/// Opens the storage at `location`, bare: without retry or cache; limited if the options say so. Whether there is a repository is not looked
/// at. Programs (ssh, rclone) are started; other connections are made by the first request.
pub fn open(location: &Location, options: &Options) -> Result<Arc<dyn Backend>> {
    Ok(match location {
        Location::Local(path) => limited(Local::new(path, options.connections("local.connections", 4)?), options),
        Location::Sftp(sftp) => Arc::new(open_sftp(sftp, location, options)?),
        Location::Rest(address) => Arc::new(open_rest(address, options)?),
        Location::Rclone(remote) => Arc::new(open_rclone(remote, options)?),
        Location::S3 { endpoint, bucket, prefix } => {
            let s3 = S3 {
                endpoint,
                bucket,
                region: options.get("s3.region"),
                lookup: lookup(options)?,
                storage_class: options.get("s3.storage-class").map(str::to_owned),
                anonymous: is_on(options, "s3.unsafe-anonymous-auth")?,
            };
            limited(object::s3(&s3, &place(location, prefix, options, "s3.connections")?)?, options)
        }
        Location::Azure { container, prefix } => {
            let place = place(location, prefix, options, "azure.connections")?;
            limited(object::azure(container, options.get("azure.endpoint"), &place)?, options)
        }
        Location::Google { bucket, prefix } => {
            let place = place(location, prefix, options, "gs.connections")?;
            limited(object::google(bucket, options.get("gs.endpoint"), &place)?, options)
        }
    })
}

/// Limits what does not pace its pieces by itself.
fn limited(backend: impl Backend + 'static, options: &Options) -> Arc<dyn Backend> {
    match &options.limiter {
        Some(limiter) => Arc::new(Limit::new(backend, Arc::clone(limiter))),
        None => Arc::new(backend),
    }
}

fn place<'a>(location: &Location, prefix: &'a str, options: &'a Options, connections: &str) -> Result<Place<'a>> {
    Ok(Place {
        prefix,
        location: location.to_string(),
        connections: options.connections(connections, 5)?,
        patience: options.patience(),
        credentials: &options.credentials,
        http: &options.http,
    })
}

fn lookup(options: &Options) -> Result<Lookup> {
    match options.get("s3.bucket-lookup") {
        None | Some("auto") => Ok(Lookup::Auto),
        Some("dns") => Ok(Lookup::Dns),
        Some("path") => Ok(Lookup::Path),
        Some(value) => Err(bad_value("s3.bucket-lookup", value, "auto, dns or path")),
    }
}

fn is_on(options: &Options, key: &str) -> Result<bool> {
    match options.get(key) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(value) => Err(bad_value(key, value, "true or false")),
    }
}

fn open_rest(address: &str, options: &Options) -> Result<Rest<Connection>> {
    let credential = |name: &str| options.credentials.get(name).filter(|value| !value.is_empty()).cloned();
    let user = credential("RESTIC_REST_USERNAME");
    let user = user.map(|name| (name, credential("RESTIC_REST_PASSWORD").unwrap_or_default()));
    let connection = Connection::open(address, user, options)?;
    Ok(Rest::new(connection, options.connections("rest.connections", 5)?, options.read_back))
}

fn split(options: &Options, key: &str) -> Result<Option<Vec<String>>> {
    let Some(value) = options.get(key) else { return Ok(None) };
    child::words(value).map(Some).map_err(|problem| bad_value(key, value, &problem))
}

fn open_rclone(remote: &str, options: &Options) -> Result<Rest<Rclone>> {
    let mut command = split(options, "rclone.program")?.unwrap_or_else(|| vec!["rclone".into()]);
    command.extend(split(options, "rclone.args")?.unwrap_or_else(rclone::default_arguments));
    let timing = Timing { start: options.seconds("rclone.timeout", 60)?, progress: options.patience() };
    let rclone = Rclone::open(command, remote, timing, Pace(options.limiter.clone()))?;
    Ok(Rest::new(rclone, options.connections("rclone.connections", 5)?, options.read_back))
}

fn open_sftp(sftp: &SftpLocation, location: &Location, options: &Options) -> Result<Sftp> {
    let command = match split(options, "sftp.command")? {
        Some(command) => command,
        None => ssh(sftp, split(options, "sftp.args")?.unwrap_or_default()),
    };
    let connections = options.connections("sftp.connections", 5)?;
    let pace = Pace(options.limiter.clone());
    Sftp::open(command, sftp.path.clone(), location.to_string(), connections, options.patience(), pace)
}

fn ssh(sftp: &SftpLocation, further: Vec<String>) -> Vec<String> {
    let mut command = vec!["ssh".to_owned(), sftp.host.clone()];
    if let Some(port) = sftp.port {
        command.extend(["-p".into(), port.to_string()]);
    }
    if let Some(user) = &sftp.user {
        command.extend(["-l".into(), user.clone()]);
    }
    command.extend(further);
    command.extend(["-s".into(), "sftp".into()]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    fn error(location: &str, settings: &[&str]) -> crate::Error {
        let mut options = Options::default();
        settings.iter().for_each(|setting| options.set(setting).unwrap());
        open(&location.parse().unwrap(), &options).err().unwrap()
    }

    #[test]
    fn missing_credentials_are_named() {
        assert!(error("s3:http://localhost:1/b", &[]).message.contains("AWS_ACCESS_KEY_ID"));
        assert!(error("azure:c:/", &[]).message.contains("AZURE_ACCOUNT_NAME"));
    }

    #[test]
    fn a_missing_program_is_a_clear_error() {
        let error = error("sftp:host:/r", &["sftp.command=no-such-program-at-all"]);
        assert_eq!(error.class, Class::Permanent);
        assert!(error.to_string().contains("no-such-program-at-all"));
    }

    #[test]
    fn ssh_gets_host_port_user_and_further_arguments() {
        let Ok(Location::Sftp(sftp)) = "sftp://me@host:22//r".parse() else { panic!() };
        let command = ssh(&sftp, vec!["-i".into(), "key".into()]);
        assert_eq!(command.join(" "), "ssh host -p 22 -l me -i key -s sftp");
    }

    #[test]
    fn a_wrong_value_of_a_setting_is_an_error() {
        assert!(error("s3:http://h/b", &["s3.bucket-lookup=maybe"]).message.contains("auto, dns or path"));
        assert!(error("/x", &["local.connections=x"]).message.contains("number"));
    }
}
