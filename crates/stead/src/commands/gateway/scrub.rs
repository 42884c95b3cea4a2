//! `stead gateway scrub`: is what is stored still what was received?

use std::time::Duration;

use backend::SystemClock;
use gateway::{Access, Finding, RepositoryName, Scrub, ScrubOptions, Tally, Verdict};
use serde::Serialize;

use super::place::{self, PlaceArgs, repository_name};
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::render::{size, time};

/// Read what is stored and compare it with its hash, without keys
///
/// What was good lately is passed over, so that a scrub that was stopped goes on where it was. Everything that is not good is
/// listed, and the command fails.
///
/// Example: stead gateway scrub --data /srv/backups --access gateway.json --rate 50M
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Repositories; all if none is named
    #[arg(value_parser = repository_name)]
    names: Vec<RepositoryName>,
    /// Directory or storage that has the repositories below it
    #[arg(long, value_name = "LOCATION")]
    data: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// Bytes to read per second at most, such as 50M
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    rate: Option<u64>,
    /// Pass over what was found good less long ago than this
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = time::parse_duration)]
    again_after: Duration,
}

#[derive(Serialize)]
struct Scrubbed<'a> {
    message_type: &'static str,
    repository: &'a RepositoryName,
    files: u64,
    bytes: u64,
    passed_over: u64,
    complete: bool,
    bad: Vec<Bad>,
}

#[derive(Serialize)]
struct Bad {
    file: String,
    verdict: Verdict,
    at: jiff::Timestamp,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let access = self.place.access();
        let names = if self.names.is_empty() { access.repositories()? } else { self.names.clone() };
        let scrub = self.place.scrub(ScrubOptions { rate: self.rate, again_after: self.again_after })?;
        let mut bad = 0;
        for name in &names {
            if access.rules(name)?.is_none() {
                return Err(Failure::new(format!("there is no repository {name}")));
            }
            bad += self.scrub_one(context, &scrub, name)?;
        }
        context.cancel.check()?;
        match bad {
            0 => Ok(()),
            bad => Err(Failure::new(format!("{bad} stored files are not what was received")).hint(
                "the machine they are from has the originals, perhaps: remove the files with a keeper's credential, then \
                 `stead repair index` and a new backup store them again",
            )),
        }
    }

    fn scrub_one(&self, context: &Context, scrub: &Scrub, name: &RepositoryName) -> Outcome<usize> {
        let (output, ledger) = (context.output(), self.place.ledger()?);
        let storage = place::storage(context, &self.data, name)?;
        let mut tell = |finding: &Finding, size: u64| {
            if finding.verdict != Verdict::Good {
                output.warn(format_args!("{name}: {} ({size} bytes) is bad", finding.file.path()));
            }
        };
        let go_on = || !context.cancel.is_cancelled();
        let result = scrub.run(name, &*storage, &ledger, &SystemClock, &mut tell, &go_on);
        let tally = match result {
            Err(gateway::ScrubError::Storage { source, .. }) if source.is_not_found() => {
                output.remark(format_args!("{name}: nothing is stored yet"))?;
                return Ok(0);
            }
            tally => tally?,
        };
        self.show(context, name, &tally)?;
        Ok(tally.bad.len())
    }

    fn show(&self, context: &Context, name: &RepositoryName, tally: &Tally) -> Outcome {
        let output = context.output();
        let bad = tally.bad.iter();
        output.message(&Scrubbed {
            message_type: "scrubbed",
            repository: name,
            files: tally.read,
            bytes: tally.bytes,
            passed_over: tally.passed_over,
            complete: tally.is_complete,
            bad: bad.map(|bad| Bad { file: bad.file.path(), verdict: bad.verdict, at: bad.at }).collect(),
        })?;
        output.result(format_args!(
            "{name}: {} files read ({}), {} were good lately, {} are bad{}",
            tally.read,
            size::bytes(tally.bytes),
            tally.passed_over,
            tally.bad.len(),
            if tally.is_complete { "" } else { "; stopped before the end" },
        ))?;
        tally
            .bad
            .iter()
            .try_for_each(|bad| output.result(format_args!("  {} since {}", bad.file.path(), time::local(bad.at))))
    }
}
