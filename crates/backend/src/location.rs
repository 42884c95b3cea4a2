//! Names of repositories as restic writes them. Shown, a location never holds a password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// Where a repository is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// `/path` or `local:path`.
    Local(PathBuf),
    /// `sftp:user@host:/path` or `sftp://user@host:port//path`.
    Sftp(SftpLocation),
    /// `rest:http://user:password@host/path`: what follows `rest:`.
    Rest(String),
    /// `s3:host/bucket/prefix` or `s3:https://host:port/bucket/prefix`.
    S3 {
        /// Scheme, host and port.
        endpoint: String,
        /// The bucket's name.
        bucket: String,
        /// Path within the bucket, perhaps empty.
        prefix: String,
    },
    /// `azure:container:/prefix`.
    Azure {
        /// The container's name.
        container: String,
        /// Path within the container, perhaps empty.
        prefix: String,
    },
    /// `gs:bucket:/prefix`.
    Google {
        /// The bucket's name.
        bucket: String,
        /// Path within the bucket, perhaps empty.
        prefix: String,
    },
    /// `rclone:remote:path`: what follows `rclone:`.
    Rclone(String),
}

/// A directory on a host that is reached by ssh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SftpLocation {
    /// Name to log in with; the ssh configuration's if missing.
    pub user: Option<String>,
    /// Host name or address, or a name from the ssh configuration.
    pub host: String,
    /// Port; the ssh configuration's if missing.
    pub port: Option<u16>,
    /// Path there; relative to the directory where one ends up after logging in.
    pub path: String,
}

/// A name that says no place we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLocationError {
    /// Nothing was given.
    #[error("the repository's location is empty")]
    Empty,
    /// Storage that we reach by other ways only.
    #[error("{scheme}: is not supported directly; use rclone:remote:path, or {scheme}'s S3 interface with s3:")]
    Unsupported {
        /// What the location begins with.
        scheme: String,
    },
    /// Storage that nobody knows.
    #[error("{scheme}: is no kind of storage; for a directory of that name write local:{scheme}:…")]
    Unknown {
        /// What the location begins with.
        scheme: String,
    },
    /// The kind is known, the rest is not of its form.
    #[error("expected {expected}")]
    Form {
        /// The form that this kind of location has.
        expected: &'static str,
    },
}

use ParseLocationError as Bad;

const SFTP_FORM: Bad = Bad::Form { expected: "sftp:user@host:/path or sftp://user@host:port//path" };
const REST_FORM: Bad = Bad::Form { expected: "rest:http://host:port/path/ or rest:https://host/path/" };
const S3_FORM: Bad = Bad::Form { expected: "s3:host/bucket/prefix or s3:https://host:port/bucket/prefix" };
const AZURE_FORM: Bad = Bad::Form { expected: "azure:container:/prefix" };
const GOOGLE_FORM: Bad = Bad::Form { expected: "gs:bucket:/prefix" };
const RCLONE_FORM: Bad = Bad::Form { expected: "rclone:remote:path" };

impl FromStr for Location {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Location, Bad> {
        if text.is_empty() {
            return Err(Bad::Empty);
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| !is_path(scheme)) else {
            return Ok(Location::Local(text.into()));
        };
        match scheme {
            "local" if rest.is_empty() => Err(Bad::Empty),
            "local" => Ok(Location::Local(rest.into())),
            "sftp" => sftp(rest).map(Location::Sftp),
            "rest" => rest_address(rest),
            "s3" => s3(rest),
            "azure" => {
                let (container, prefix) = in_container(rest).ok_or(AZURE_FORM)?;
                Ok(Location::Azure { container, prefix })
            }
            "gs" => {
                let (bucket, prefix) = in_container(rest).ok_or(GOOGLE_FORM)?;
                Ok(Location::Google { bucket, prefix })
            }
            "rclone" if rest.is_empty() => Err(RCLONE_FORM),
            "rclone" => Ok(Location::Rclone(rest.to_owned())),
            "b2" | "swift" => Err(Bad::Unsupported { scheme: scheme.to_owned() }),
            _ => Err(Bad::Unknown { scheme: scheme.to_owned() }),
        }
    }
}

/// What stands before the first colon belongs to a path: `/a:b`, `./a:b`, `C:\repo`.
fn is_path(scheme: &str) -> bool {
    let drive = cfg!(windows) && scheme.len() == 1;
    drive || scheme.starts_with('.') || scheme.contains(['/', '\\'])
}

fn sftp(rest: &str) -> Result<SftpLocation, Bad> {
    match rest.strip_prefix("//") {
        Some(address) => sftp_url(address),
        None => sftp_short(rest),
    }
}

fn sftp_url(address: &str) -> Result<SftpLocation, Bad> {
    let url = Url::parse(&format!("sftp://{address}")).map_err(|_| SFTP_FORM)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(SFTP_FORM)?;
    let (_, path) = address.split_once('/').ok_or(SFTP_FORM)?;
    let user = address.split('/').next().and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
    if path.is_empty() {
        return Err(SFTP_FORM);
    }
    Ok(SftpLocation {
        user: user.map(|user| user.split(':').next().unwrap_or(user).to_owned()),
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port(),
        path: path.to_owned(),
    })
}

fn sftp_short(rest: &str) -> Result<SftpLocation, Bad> {
    let (host, path) = match rest.find("]:") {
        Some(end) => (&rest[..=end], &rest[end + 2..]),
        None => rest.split_once(':').ok_or(SFTP_FORM)?,
    };
    let (user, host) = match host.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, host),
    };
    let host = host.trim_matches(['[', ']']);
    // A host that begins with a dash would be an option of ssh.
    if host.is_empty() || host.starts_with('-') || path.is_empty() {
        return Err(SFTP_FORM);
    }
    Ok(SftpLocation { user, host: host.to_owned(), port: None, path: path.to_owned() })
}

fn rest_address(address: &str) -> Result<Location, Bad> {
    let known = ["http://", "https://", "http+unix://"].iter().any(|scheme| address.starts_with(scheme));
    if known { Ok(Location::Rest(address.to_owned())) } else { Err(REST_FORM) }
}

fn s3(rest: &str) -> Result<Location, Bad> {
    let (scheme, address) = match rest.split_once("://") {
        Some((scheme @ ("http" | "https"), address)) => (scheme, address),
        Some(_) => return Err(S3_FORM),
        None => ("https", rest.strip_prefix("//").unwrap_or(rest)),
    };
    let (host, path) = address.split_once('/').ok_or(S3_FORM)?;
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    if host.is_empty() || bucket.is_empty() {
        return Err(S3_FORM);
    }
    let endpoint = format!("{scheme}://{host}");
    Ok(Location::S3 { endpoint, bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
}

fn in_container(rest: &str) -> Option<(String, String)> {
    let (container, prefix) = rest.split_once(':')?;
    (!container.is_empty()).then(|| (container.to_owned(), prefix.trim_matches('/').to_owned()))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Local(path) => write!(f, "{}", path.display()),
            Location::Sftp(sftp) => write!(f, "sftp:{sftp}"),
            Location::Rest(address) => write!(f, "rest:{}", without_password(address)),
            Location::S3 { endpoint, bucket, prefix } => {
                write!(f, "s3:{endpoint}/{bucket}{}{prefix}", if prefix.is_empty() { "" } else { "/" })
            }
            Location::Azure { container, prefix } => write!(f, "azure:{container}:/{prefix}"),
            Location::Google { bucket, prefix } => write!(f, "gs:{bucket}:/{prefix}"),
            Location::Rclone(remote) => write!(f, "rclone:{remote}"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

impl fmt::Display for SftpLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) => write!(f, "//{user}{host}:{port}/{}", self.path),
            None => write!(f, "{user}{host}:{}", self.path),
        }
    }
}

/// Cuts out what stands between the user's name and the host.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or(user);
            format!("{scheme}://{user}:***@{host}{}", &rest[authority.len()..])
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, Bad> {
        text.parse()
    }

    fn sftp_of(text: &str) -> (Option<String>, String, Option<u16>, String) {
        match parse(text) {
            Ok(Location::Sftp(sftp)) => (sftp.user, sftp.host, sftp.port, sftp.path),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_are_directories_even_with_a_colon() {
        for path in ["/srv/repo", "repo", "./a:b", "../x", "/a:b"] {
            assert_eq!(parse(path), Ok(Location::Local(path.into())));
        }
        assert_eq!(parse("local:a:b"), Ok(Location::Local("a:b".into())));
        assert_eq!(parse(""), Err(Bad::Empty));
    }

    #[test]
    fn sftp_has_a_short_and_a_long_form() {
        assert_eq!(sftp_of("sftp:me@host:/srv/r"), (Some("me".into()), "host".into(), None, "/srv/r".into()));
        assert_eq!(sftp_of("sftp:host:r"), (None, "host".into(), None, "r".into()));
        assert_eq!(sftp_of("sftp://host/r"), (None, "host".into(), None, "r".into()));
        assert_eq!(
            sftp_of("sftp://me@host:2222//srv/r"),
            (Some("me".into()), "host".into(), Some(2222), "/srv/r".into())
        );
        assert_eq!(sftp_of("sftp:me@[::1]:/r"), (Some("me".into()), "::1".into(), None, "/r".into()));
        assert_eq!(sftp_of("sftp://me@[::1]:22//r").1, "::1");
        assert_eq!(parse("sftp:-oProxyCommand=x:/r"), Err(SFTP_FORM));
        assert_eq!(parse("sftp:host"), Err(SFTP_FORM));
    }

    #[test]
    fn s3_takes_a_host_or_an_address() {
        let expect = |text: &str, endpoint: &str, bucket: &str, prefix: &str| {
            let (endpoint, bucket, prefix) = (endpoint.into(), bucket.into(), prefix.into());
            assert_eq!(parse(text), Ok(Location::S3 { endpoint, bucket, prefix }), "{text}");
        };
        expect("s3:s3.amazonaws.com/bucket", "https://s3.amazonaws.com", "bucket", "");
        expect("s3:https://host:9000/bucket/a/b/", "https://host:9000", "bucket", "a/b");
        expect("s3:http://localhost:9000/bucket", "http://localhost:9000", "bucket", "");
        assert_eq!(parse("s3:host"), Err(S3_FORM));
    }

    #[test]
    fn passwords_are_never_shown() {
        let shown = |text: &str| parse(text).unwrap().to_string();
        assert_eq!(shown("rest:https://me:secret@host:8000/repo"), "rest:https://me:***@host:8000/repo");
        assert_eq!(shown("rest:https://host/repo"), "rest:https://host/repo");
        assert!(!format!("{:?}", parse("rest:http://a:secret@h/")).contains("secret"));
        assert_eq!(shown("sftp://me:secret@host:22//r"), "sftp://me@host:22//r");
    }

    #[test]
    fn other_clouds_are_pointed_to_rclone_and_typing_errors_to_local() {
        assert!(parse("b2:bucket:/x").unwrap_err().to_string().contains("rclone"));
        assert!(parse("swift:container:/x").unwrap_err().to_string().contains("rclone"));
        assert!(parse("foo:/x").unwrap_err().to_string().contains("local:foo:"));
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in
            ["sftp:me@[::1]:/r", "sftp://me@h:2222//srv", "azure:c:/p", "gs:b:/p/q", "rclone:r:x", "s3:https://h/b/p"]
        {
            let location = parse(text).unwrap();
            assert_eq!(location.to_string().parse(), Ok(location), "{text}");
        }
    }
}
