//! `stead gateway list`: who may come in, and when they last sent a snapshot.

use backend::{Clock, FileKind, SystemClock};
use gateway::{Access, Act, FileAccess, Holder, Ledger, Reach, RepositoryName, Rules, ScrubOptions};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::place::PlaceArgs;
use crate::failure::Outcome;
use crate::open::Context;
use crate::output;
use crate::render::table::Table;
use crate::render::{size, time};

/// Show accounts, repositories, limits and what was received last
///
/// Example: stead gateway list --access gateway.json
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Serialize)]
struct Line {
    account: String,
    role: &'static str,
    /// Of a keeper that tends all: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<RepositoryName>,
    #[serde(flatten)]
    state: Option<State>,
}

/// What is known of a repository.
#[derive(Serialize)]
struct State {
    enrolment: gateway::Enrolment,
    #[serde(flatten)]
    limits: gateway::Limits,
    snapshots: u64,
    last_snapshot: Option<Timestamp>,
    received_today: u64,
    bad_files: usize,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let access = self.place.access();
        let mut lines = Vec::new();
        for (account, holder) in access.accounts()? {
            match holder {
                Holder::Machine(repository) => lines.push(self.line(&access, account, "machine", repository)?),
                Holder::Keeper(Reach::All) => {
                    lines.push(Line { account, role: "keeper", repository: None, state: None })
                }
                Holder::Keeper(Reach::Only(tended)) => {
                    for repository in tended {
                        lines.push(self.line(&access, account.clone(), "keeper", repository)?);
                    }
                }
            }
        }
        let output = context.output();
        output.message(&lines)?;
        output.result(table(&lines).render(output::width()).trim_end())
    }

    fn line(
        &self,
        access: &FileAccess,
        account: String,
        role: &'static str,
        repository: RepositoryName,
    ) -> Outcome<Line> {
        let rules = access.rules(&repository)?;
        let state = rules.map(|rules| self.state(&repository, rules)).transpose()?;
        Ok(Line { account, role, repository: Some(repository), state })
    }

    fn state(&self, repository: &RepositoryName, rules: Rules) -> Outcome<State> {
        let ledger = self.place.ledger()?;
        let (mut snapshots, mut last_snapshot) = (std::collections::HashSet::new(), None);
        ledger.receipts(repository, &mut |receipt| match (receipt.file.kind, receipt.act) {
            (FileKind::Snapshot, Act::Received) if snapshots.insert(receipt.file.id) => {
                last_snapshot = Some(receipt.at)
            }
            (FileKind::Snapshot, Act::Removed) => drop(snapshots.remove(&receipt.file.id)),
            _ => {}
        })?;
        let day = SystemClock.now().to_zoned(TimeZone::UTC).date();
        let scrub = self.place.scrub(ScrubOptions { rate: None, again_after: std::time::Duration::ZERO })?;
        Ok(State {
            enrolment: rules.enrolment,
            limits: rules.limits,
            snapshots: snapshots.len() as u64,
            last_snapshot,
            received_today: ledger.today(repository, day)?.bytes,
            bad_files: scrub.findings(repository)?.len(),
        })
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table =
        Table::new(&["Account", "Role", "Repository", "Enrolment", "Quota", "Snapshots", "Last received", "Bad"]);
    for Line { account, role, repository, state } in lines {
        let repository = repository.as_ref().map_or("(all)".into(), ToString::to_string);
        let told = |tell: &dyn Fn(&State) -> String| state.as_ref().map(tell).unwrap_or_default();
        table.row(vec![
            account.clone(),
            (*role).into(),
            repository,
            told(&|state| state.enrolment.to_string()),
            told(&|state| state.limits.stored_bytes.map_or("none".into(), size::bytes)),
            told(&|state| state.snapshots.to_string()),
            told(&|state| state.last_snapshot.map_or("never".into(), time::local)),
            told(&|state| state.bad_files.to_string()),
        ]);
    }
    table.foot(format!("{} accounts", lines.len()));
    table
}
