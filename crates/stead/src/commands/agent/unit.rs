//! The systemd unit of the agent: installed by root, printed for others, removed with the agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use agent::{Place, service};

use super::is_root;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

fn file() -> PathBuf {
    Path::new(service::FOLDER).join(service::NAME)
}

fn text(place: &Place) -> Outcome<String> {
    let program = std::env::current_exe().map_err(|error| Failure::io("find", Path::new("this program"), error))?;
    Ok(service::unit(&program, place.root()))
}

/// Whether systemd runs this machine.
fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Whether a package brought a unit that is for this place: it is started and stopped, never written.
fn is_packaged(place: &Place) -> bool {
    place.root() == Path::new(service::USUAL) && Path::new(service::PACKAGED).join(service::NAME).exists()
}

/// Installs and starts it where that can be done, else prints it.
pub(super) fn install_or_print(place: &Place, output: Output) -> Outcome {
    if is_packaged(place) && is_root() && has_systemd() {
        systemctl(&["enable", "--now", service::NAME])?;
        return output.remark(format_args!("{} runs, and starts with the machine", service::NAME));
    }
    if !is_root() || !has_systemd() {
        let file = file();
        output.notice(format_args!(
            "Put this into {} and run `systemctl enable --now {}`:\n",
            file.display(),
            service::NAME
        ))?;
        return output.result_always(text(place)?);
    }
    fs::write(file(), text(place)?).map_err(|error| Failure::io("write", &file(), error))?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", service::NAME])?;
    output.remark(format_args!("{} is installed and runs", service::NAME))
}

/// Stops and removes it, if it is the one of this place; whether there was one.
pub(super) fn remove(place: &Place, output: Output) -> Outcome<bool> {
    let file = file();
    if is_packaged(place)
        && has_systemd()
        && let Err(failure) = systemctl(&["disable", "--now", service::NAME])
    {
        output.warn(format_args!("{failure}"));
    }
    let ours = |text: String| text.contains(&format!("--state \"{}\"", place.root().display()));
    if !fs::read_to_string(&file).is_ok_and(ours) {
        return Ok(false);
    }
    if has_systemd()
        && let Err(failure) = systemctl(&["disable", "--now", service::NAME])
    {
        output.warn(format_args!("{failure}"));
    }
    fs::remove_file(&file).map_err(|error| Failure::io("remove", &file, error))?;
    if has_systemd() {
        systemctl(&["daemon-reload"])?;
    }
    Ok(true)
}

fn systemctl(arguments: &[&str]) -> Outcome {
    let words = arguments.join(" ");
    let ran = Command::new("systemctl").args(arguments).output();
    let ran = ran.map_err(|error| Failure::new(format!("cannot run `systemctl {words}`: {error}")))?;
    match ran.status.success() {
        true => Ok(()),
        false => {
            let why = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
            Err(Failure::new(format!("`systemctl {words}` failed: {why}")))
        }
    }
}
