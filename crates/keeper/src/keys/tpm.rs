//! A TPM 2.0 that seals what opens a keeper's keys: what it sealed, it alone opens, without anybody being there. It is asked
//! through the programs of tpm2-tools; keys go to them and come from them through pipes, never as arguments or files.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::vault::KEY;

/// Bytes of either half of what a TPM sealed.
const LARGEST: usize = 4 << 10;

/// It is fixed to this TPM, needs no password, and wrong passwords that somebody tries elsewhere do not lock it.
const ATTRIBUTES: &str = "fixedtpm|fixedparent|userwithauth|noda";

/// What TPMs say of something that another one sealed.
const FOREIGN: &str = "integrity check failed";

/// A TPM, and how it is reached.
#[derive(Clone, Debug)]
pub struct Tpm {
    /// How tpm2-tools reach it, in their words: `device:/dev/tpmrm0`. Always said: what they try by themselves could be a
    /// program that only seems to be a TPM.
    pub tcti: String,
    /// A directory for files that are of use to that TPM alone, and removed at once.
    pub room: PathBuf,
}

/// Why a TPM does not seal or open.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// A program of tpm2-tools is not there.
    #[error("cannot ask the TPM: the program {0} is not installed")]
    NoProgram(&'static str),
    /// Nothing answers.
    #[error("no TPM 2.0 answers at {tcti} ({words})")]
    Silent {
        /// Where it was asked.
        tcti: String,
        /// What tpm2-tools say.
        words: String,
    },
    /// It is not the one that sealed.
    #[error("this machine's TPM cannot open the keeper's keys: another TPM sealed them, or it was cleared since")]
    Foreign,
    /// It does something else than it was asked for.
    #[error("the TPM failed at {program}: {words}")]
    Failed {
        /// Which program of tpm2-tools.
        program: &'static str,
        /// What it says.
        words: String,
    },
    /// A program could not be talked with.
    #[error("cannot talk with {program}")]
    Program {
        /// Which.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Its files.
    #[error("cannot use the directory {} for the TPM's files", .path.display())]
    Room {
        /// Where they were to be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is stored is nothing that a TPM sealed.
    #[error("what the TPM sealed is damaged")]
    Damaged,
}

/// What a TPM sealed, as hexadecimal digits: of use to that TPM alone.
#[derive(Serialize, Deserialize)]
pub(super) struct Sealed {
    public: String,
    private: String,
}

type Result<T> = std::result::Result<T, TpmError>;

impl Tpm {
    /// Seals a key.
    pub(super) fn seal(&self, key: &[u8; KEY]) -> Result<Sealed> {
        let room = Room::below(&self.room)?;
        let tools = self.tools(&room)?;
        let words = ["-C", "parent", "-g", "sha256", "-a", ATTRIBUTES, "-i", "-", "-u", "public", "-r", "private"];
        tools.run("tpm2_create", &words, key)?;
        let read = |name: &str| std::fs::read(room.0.join(name)).map(hex::encode).map_err(room.failed());
        Ok(Sealed { public: read("public")?, private: read("private")? })
    }

    /// Opens what it sealed.
    pub(super) fn open(&self, sealed: &Sealed) -> Result<Zeroizing<[u8; KEY]>> {
        let room = Room::below(&self.room)?;
        for (name, digits) in [("public", &sealed.public), ("private", &sealed.private)] {
            let bytes = hex::decode(digits).ok().filter(|bytes| bytes.len() <= LARGEST).ok_or(TpmError::Damaged)?;
            std::fs::write(room.0.join(name), bytes).map_err(room.failed())?;
        }
        let tools = self.tools(&room)?;
        let words = ["-Q", "-C", "parent", "-u", "public", "-r", "private", "-c", "object"];
        tools.run("tpm2_load", &words, &[]).map_err(|error| match error {
            TpmError::Failed { words, .. } if words.contains(FOREIGN) => TpmError::Foreign,
            error => error,
        })?;
        let opened = tools.run("tpm2_unseal", &["-c", "object"], &[])?;
        let key = <[u8; KEY]>::try_from(opened.as_slice()).map_err(|_| TpmError::Damaged)?;
        Ok(Zeroizing::new(key))
    }

    /// The tools, and in the room the key that everything of ours is sealed below: the same each time, because the TPM
    /// derives it from a seed that never leaves it.
    fn tools<'t>(&'t self, room: &'t Room) -> Result<Tools<'t>> {
        let tools = Tools { tcti: &self.tcti, room: &room.0 };
        let words = ["-Q", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", "parent"];
        tools.run("tpm2_createprimary", &words, &[])?;
        Ok(tools)
    }
}

/// The programs of tpm2-tools, at work in a room.
struct Tools<'t> {
    tcti: &'t str,
    room: &'t Path,
}

impl Tools<'_> {
    /// Runs one, and takes what it loaded out of the TPM again: small ones have room for three things.
    fn run(&self, program: &'static str, words: &[&str], input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let told = self.one(program, words, input)?;
        self.one("tpm2_flushcontext", &["-Q", "-t"], &[])?;
        Ok(told)
    }

    fn one(&self, program: &'static str, words: &[&str], input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let mut command = Command::new(program);
        command.args(words).args(["-T", self.tcti]).current_dir(self.room).env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => TpmError::NoProgram(program),
            _ => TpmError::Program { program, source: error },
        })?;
        let output = talk(child, input).map_err(|source| TpmError::Program { program, source })?;
        let told = Zeroizing::new(output.stdout);
        if output.status.success() {
            return Ok(told);
        }
        let words = words_of(&String::from_utf8_lossy(&output.stderr));
        match words.contains("tcti") {
            true => Err(TpmError::Silent { tcti: self.tcti.to_owned(), words }),
            false => Err(TpmError::Failed { program, words }),
        }
    }
}

fn talk(mut child: Child, input: &[u8]) -> io::Result<std::process::Output> {
    let written = match child.stdin.take() {
        Some(mut stdin) => stdin.write_all(input),
        None => Ok(()),
    };
    let output = child.wait_with_output()?;
    // Whoever fails early does not read; what it says is worth more than that.
    match written {
        Err(error) if output.status.success() => Err(error),
        _ => Ok(output),
    }
}

/// Of what a program complained, its own first line, without those of the libraries below it.
fn words_of(complaint: &str) -> String {
    let own = complaint.lines().find_map(|line| line.strip_prefix("ERROR: "));
    let words = own.or_else(|| complaint.lines().next()).unwrap_or("it does not say why").trim();
    words.chars().take(200).collect()
}

/// A directory that goes when it is dropped.
struct Room(PathBuf);

impl Room {
    fn below(folder: &Path) -> Result<Room> {
        let path = folder.join(format!("tpm-{}", hex::encode(rand::random::<[u8; 8]>())));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| TpmError::Room { path: path.clone(), source })?;
        Ok(Room(path))
    }

    fn failed(&self) -> impl Fn(io::Error) -> TpmError {
        let path = self.0.clone();
        move |source| TpmError::Room { path: path.clone(), source }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What stays there opens nothing.
        _ = std::fs::remove_dir_all(&self.0);
    }
}
