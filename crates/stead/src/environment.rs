//! What the surroundings say: variables, the user's directories, this host and user. Read here and nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;

/// The value of `STEAD_<name>`, else of `RESTIC_<name>`; an empty value counts as none.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    ["STEAD_", "RESTIC_"].iter().find_map(|prefix| non_empty(&format!("{prefix}{name}")))
}

/// As [`variable`], as text; what is no text is shown with replacement characters.
pub(crate) fn text(name: &str) -> Option<String> {
    variable(name).map(|value| value.to_string_lossy().into_owned())
}

fn non_empty(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// How tpm2-tools are told to reach a TPM.
pub(crate) fn tpm() -> Option<String> {
    non_empty("TPM2TOOLS_TCTI").map(|tcti| tcti.to_string_lossy().into_owned())
}

/// Where programs keep what the user would miss: `$XDG_DATA_HOME`, or `~/.local/share`.
pub(crate) fn data_directory() -> Option<PathBuf> {
    user_directory("XDG_DATA_HOME", ".local/share")
}

/// Where programs keep what can be made again: `$XDG_CACHE_HOME`, or `~/.cache`.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    user_directory("XDG_CACHE_HOME", ".cache")
}

/// Where programs keep their own notes: `$XDG_STATE_HOME`, or `~/.local/state`.
pub(crate) fn state_directory() -> Option<PathBuf> {
    user_directory("XDG_STATE_HOME", ".local/state")
}

/// A directory named by a variable (absolute, else it does not count), or one below home; our own part of it.
fn user_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = non_empty(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = named.or_else(|| non_empty("HOME").map(|home| PathBuf::from(home).join(below_home)));
    base.map(|base| base.join("stead"))
}

/// Operating system and processor in Go's words, which scripts for restic know.
pub(crate) fn go_platform() -> (&'static str, &'static str) {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    (std::env::consts::OS, architecture)
}
