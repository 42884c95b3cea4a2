//! Machines that are backed up by plain restic: they get an account at the gateway, and a script that sets them up. Only
//! the machine knows its repository's password, so the keeper can do nothing there; what arrives is seen and counted.

use api::wire::duties::Gateway;
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use continuity::Act;
use fleet::{ClientId, MachineClass, MachineId};
use jiff::ToSpan;
use serde::Deserialize;
use store::{CodeId, Enrolment, NewCode, Secret};

use crate::app::App;
use crate::form::Signed;
use crate::page::{Frame, Just, Place, show};
use crate::problem::Problem;
use crate::{gateway, judge};

/// What a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    /// With systemd.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
}

impl System {
    fn script(self) -> &'static str {
        match self {
            System::Linux => include_str!("plain/linux.sh"),
            System::Macos => include_str!("plain/macos.sh"),
            System::Windows => include_str!("plain/windows.ps1"),
        }
    }

    fn file(self) -> &'static str {
        match self {
            System::Linux | System::Macos => "stead-restic.sh",
            System::Windows => "stead-restic.ps1",
        }
    }

    fn how(self) -> &'static str {
        match self {
            System::Linux => "Save it on the machine and run it once as root: sh stead-restic.sh",
            System::Macos => "Save it on the Mac and run it once: sudo sh stead-restic.sh",
            System::Windows => "Save it on the computer and run it once in PowerShell as administrator.",
        }
    }
}

#[derive(Template)]
#[template(path = "plain.html")]
struct PlainPage {
    frame: Frame,
    machine: MachineId,
    name: String,
    file: &'static str,
    how: &'static str,
    script: String,
}

#[derive(Deserialize)]
pub(crate) struct Wish {
    client: ClientId,
    class: MachineClass,
    name: String,
    system: System,
}

/// `POST /enrol/plain`: the machine is there from now on; its script, with its password at the gateway, is shown once.
pub(crate) async fn make(State(app): State<App>, Signed(visitor, wish): Signed<Wish>) -> Result<Response, Problem> {
    visitor.must(Act::Configure)?;
    app.store.within(&visitor.scope).client(wish.client).await?;
    let Some(gate) = gateway::told(&app.store).await? else {
        return Err(Problem::Invalid("This server has no gateway that machines could bring backups to.".into()));
    };
    let name = crate::join::name(&wish.name)?;
    let (now, machine, credential) = (app.now(), MachineId::made(app.now(), app.random()?), Secret::random());
    let expires = now.checked_add(1.minute()).map_err(|error| Problem::Invalid(error.to_string()))?;
    let (id, code) = (CodeId::made(now, app.random()?), Secret::random());
    let new = NewCode { id, client: wish.client, class: wish.class, policy: None, uses: 1, expires };
    app.store.within(&visitor.scope).add_code(&new, &code).await?;
    let (identity, hardware, sealed_key) = (None, None, None);
    let joining =
        Enrolment { machine, name: name.clone(), identity, hardware, sealed_key, credential: credential.hash() };
    app.store.system().enrol(&code, &joining, now).await?;
    judge::at_once(&app, machine).await?;
    let script = script(wish.system, &gate, machine, credential.text());
    let (file, how) = (wish.system.file(), wish.system.how());
    let frame = Frame::new("Plain restic", Place::Enrol, &visitor, &Just::default());
    Ok(show(&PlainPage { frame, machine, name, file, how, script })?.into_response())
}

/// Nothing in it comes from people, so nothing needs quoting: an address of ours, a UUID, letters and digits.
fn script(system: System, gate: &Gateway, machine: MachineId, credential: &str) -> String {
    let (scheme, rest) = gate.address.split_once("://").unwrap_or(("https", gate.address.as_str()));
    let repository = format!("rest:{scheme}://{machine}:{credential}@{rest}/{machine}/");
    let own = gate.authority.is_some();
    let file = |path: &'static str| if own { path } else { "" };
    system
        .script()
        .replace("@REPOSITORY@", &repository)
        .replace("@AUTHORITY@", gate.authority.as_deref().unwrap_or_default().trim())
        .replace("RESTIC_CACERT=@CACERT@\n", if own { "RESTIC_CACERT=/etc/stead-restic/authority.pem\n" } else { "" })
        .replace("@MACCACERT@", file("/usr/local/etc/stead-restic/authority.pem"))
        .replace("@WINCACERT@", file("authority.pem"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_script_has_a_gap_left() {
        let machine = MachineId::made(jiff::Timestamp::UNIX_EPOCH, [7; 10]);
        for authority in [None, Some("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n".to_owned())] {
            let gate = Gateway { address: "https://backup.example:8444".into(), authority };
            for system in [System::Linux, System::Macos, System::Windows] {
                let script = script(system, &gate, machine, "secret");
                assert!(!["@REPO", "@AUTH", "CACERT@"].iter().any(|gap| script.contains(gap)), "{script}");
                assert!(script.contains(&format!("rest:https://{machine}:secret@backup.example:8444/{machine}/")));
                assert_eq!(script.contains("RESTIC_CACERT=/etc"), system == System::Linux && gate.authority.is_some());
            }
        }
    }
}
