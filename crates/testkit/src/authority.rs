//! An authority that issues certificates, made by the `openssl` program in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const CONFIGURATION: &str = "
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = desk
[desk]
database = issued.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = anybody
unique_subject = no
x509_extensions = holder
[anybody]
commonName = supplied
[holder]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = ${ENV::NAMES}
";

/// Whether a certificate can be used today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// From 2020 to 2040.
    Today,
    /// It ended in 2021.
    Past,
}

/// An authority; its folder goes when it is dropped.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Both in one file, as clients want it.
    pub both: PathBuf,
}

impl Authority {
    /// Makes an authority; panics where there is no `openssl`.
    pub fn new() -> Authority {
        let folder = TempDir::new().expect("room");
        std::fs::write(folder.path().join("openssl.cnf"), CONFIGURATION).expect("a file");
        std::fs::write(folder.path().join("issued.txt"), "").expect("a file");
        let authority = Authority { folder };
        // Two authorities of one name would be told apart by their signatures only, and the errors be others.
        let name = authority.folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -config openssl.cnf \
             -subj /CN={name} -keyout authority.key -out authority.pem"
        );
        authority.openssl(&words, "DNS:none");
        authority
    }

    /// The file that those who trust this authority name.
    pub fn certificate(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// A certificate for `names`, as OpenSSL writes them: `DNS:localhost,IP:127.0.0.1`. `file` names its files.
    pub fn issue(&self, file: &str, names: &str, validity: Validity) -> Certificate {
        let end = match validity {
            Validity::Today => "20400101000000Z",
            Validity::Past => "20210101000000Z",
        };
        self.openssl(
            &format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf -subj /CN={file} \
                 -keyout {file}.key -out {file}.csr"
            ),
            names,
        );
        self.openssl(
            &format!(
                "ca -batch -notext -config openssl.cnf -cert authority.pem -keyfile authority.key -in {file}.csr \
                 -startdate 20200101000000Z -enddate {end} -out {file}.pem"
            ),
            names,
        );
        let issued = Certificate {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
            both: self.path(&format!("{file}.both.pem")),
        };
        let parts = [&issued.certificate, &issued.key].map(|part| std::fs::read_to_string(part).expect("PEM"));
        std::fs::write(&issued.both, parts.concat()).expect("a file");
        issued
    }

    /// A certificate for this machine, valid today.
    pub fn for_this_machine(&self) -> Certificate {
        self.issue("machine", "DNS:localhost,IP:127.0.0.1", Validity::Today)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, words: &str, names: &str) {
        run(self.folder.path(), words, names);
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

fn run(folder: &Path, words: &str, names: &str) {
    let mut command = Command::new("openssl");
    command.args(words.split_whitespace()).env("NAMES", names).current_dir(folder);
    let output = command.output().expect("openssl runs");
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
}
