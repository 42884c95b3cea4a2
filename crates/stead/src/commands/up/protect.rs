//! What `stead up` protects: this machine, as a client of its own firm, by a policy that names the paths.

use std::path::{Path, PathBuf};

use agent::{Wish as Joining, enrol, status};
use continuity::Scope;
use fleet::{
    Client, ClientId, Drill, Keep, KeyCustody, MachineClass, MachineId, Policy, PolicyId, Roaming, Schedule, Selection,
    TenantId, Times, Zone,
};
use jiff::{SignedDuration, Timestamp};
use platform::hardware::System;
use server::first;
use store::{CodeId, NewCode, Store};

use super::place::Place;
use crate::commands::front::Near;
use crate::environment;
use crate::failure::{Doing, Failure, Outcome};

/// What is wanted.
pub(super) struct Wish<'w> {
    /// Who owns the firm.
    pub(super) owner: &'w str,
    /// What to protect; nothing: the home directory.
    pub(super) paths: &'w [PathBuf],
    /// Where the server keeps its data, which is left out.
    pub(super) place: &'w Place,
    /// The server.
    pub(super) near: &'w Near,
    /// Its memory.
    pub(super) store: &'w Store,
}

/// Lets this machine join, if it has not; paths that are named again replace those of its policy.
pub(super) async fn this_machine(wish: &Wish<'_>) -> Outcome<MachineId> {
    let place = agent::Place::made(&wish.place.agent()?)?;
    let now = Timestamp::now();
    let scope = scope(wish, now).await?;
    if let Ok(known) = status(&place, now) {
        let machine = known.machine.parse().doing(|| "cannot read which machine this is".into())?;
        if !wish.paths.is_empty() {
            change_paths(wish, &scope, machine).await?;
        }
        return Ok(machine);
    }
    let code = prepare(wish, &scope, now).await?;
    let joining = Joining {
        server: wish.near.address.clone(),
        code,
        fingerprint: match wish.near.fingerprint.as_str() {
            "" => None,
            known => Some(known.parse().doing(|| "cannot read the server's fingerprint".into())?),
        },
        name: platform::hostname(),
        hardware: System::this().identities(),
    };
    let joined = tokio::task::spawn_blocking(move || enrol(&place, &joining, now)).await;
    let joined = joined.map_err(|_| Failure::new("joining was interrupted"))?;
    Ok(joined.doing(|| "this machine cannot join".into())?.membership.machine)
}

async fn scope(wish: &Wish<'_>, now: Timestamp) -> Outcome<Scope> {
    let nobody =
        || Failure::new(format!("{} is nobody on this server", wish.owner)).hint("name its owner by `--owner`");
    let known = wish.store.system().sign_in(wish.owner).await?.ok_or_else(nobody)?;
    wish.store.system().scope(known.person.id, now).await?.ok_or_else(nobody)
}

/// A client, a policy and a code for this machine; the code as it is typed.
async fn prepare(wish: &Wish<'_>, scope: &Scope, now: Timestamp) -> Outcome<String> {
    let view = wish.store.within(scope);
    let tenant = view.tenants().await?.into_iter().next().ok_or_else(|| Failure::new("there is no firm"))?;
    let client = match view.clients().await?.into_iter().find(|client| client.name == tenant.name) {
        Some(client) => client.id,
        None => {
            let id = ClientId::made(now, rand::random());
            let (zone, custody) = (zone(), KeyCustody::Managed);
            let client =
                Client { id, tenant: tenant.id, name: tenant.name.clone(), zone, custody, sheet_confirmed: None };
            view.add_client(&client).await?;
            id
        }
    };
    let policy = policy(wish, tenant.id, now)?;
    view.save_policy(&policy).await?;
    let (typed, secret) = first::code()?;
    let expires = now.checked_add(SignedDuration::from_mins(10)).doing(|| "cannot read the clock".into())?;
    let (id, class, policy) = (CodeId::made(now, rand::random()), MachineClass::Workstation, Some(policy.id));
    view.add_code(&NewCode { id, client, class, policy, uses: 1, expires }, &secret).await?;
    Ok(typed)
}

fn policy(wish: &Wish<'_>, tenant: TenantId, now: Timestamp) -> Outcome<Policy> {
    let times = Times::daily(vec![jiff::civil::time(12, 30, 0, 0)]).doing(|| "cannot read a schedule".into())?;
    Ok(Policy {
        id: PolicyId::made(now, rand::random()),
        tenant,
        name: format!("Files of {}", platform::hostname()),
        what: what(wish)?,
        schedule: Schedule { zone: zone(), times, spread: 600, windows: Vec::new() },
        copies: Vec::new(),
        keep: Keep { daily: 14, weekly: 8, monthly: 12, ..Keep::default() },
        drills: vec![Drill::FileSample],
        roaming: Roaming::default(),
    })
}

fn zone() -> Zone {
    let zone = jiff::tz::TimeZone::system();
    zone.iana_name().and_then(|name| Zone::named(name).ok()).unwrap_or_else(Zone::utc)
}

/// The paths, without what can be made again and without the server's own data.
fn what(wish: &Wish<'_>) -> Outcome<Vec<Selection>> {
    let home = std::env::home_dir();
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|error| Failure::io("find", path, error));
    let paths = match wish.paths {
        [] => vec![home.clone().ok_or_else(|| {
            Failure::new("there is no home directory to protect").hint("name what to protect: `stead up PATH`")
        })?],
        paths => paths.iter().map(absolute).collect::<Outcome<_>>()?,
    };
    let own = absolute(&wish.place.root().to_path_buf())?;
    let usual = environment::data_directory();
    let below = |home: &Path| [".cache", ".local/share/Trash"].map(|name| home.join(name));
    let excludes = home.iter().flat_map(|home| below(home)).chain([own]).chain(usual);
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let excludes: Vec<String> = excludes.map(text).collect();
    Ok(vec![Selection::Files { paths: paths.into_iter().map(text).collect(), excludes }])
}

async fn change_paths(wish: &Wish<'_>, scope: &Scope, machine: MachineId) -> Outcome {
    let view = wish.store.within(scope);
    let machine = view.machine(machine).await?;
    let policies = view.policies(machine.tenant).await?;
    let Some(policy) = policies.into_iter().find(|policy| Some(policy.id) == machine.policy) else {
        return Err(Failure::new("this machine has no policy whose paths could change")
            .hint("give it one on its page, and start without paths"));
    };
    let what = what(wish)?;
    if policy.what != what {
        view.save_policy(&Policy { what, ..policy }).await?;
    }
    Ok(())
}
