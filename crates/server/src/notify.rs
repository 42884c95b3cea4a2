//! Messages: empties the outbox. At least once, always with the same identity; held in a person's quiet hours; tried again
//! ever more rarely; given up after a day, which is an alert of its own.
//!
//! Several servers may do so at once: what one has taken, no other takes for two minutes.

pub(crate) mod firm;
mod letter;
mod mail;
mod ntfy;
pub(crate) mod own;
pub(crate) mod reach;
mod sending;
pub(crate) mod watchdog;
mod webhook;

use std::time::Duration;

use fleet::{AlertKey, Condition, Escalation, Finding, NoticeKind, Observation, Subject, TenantId};
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use store::Notification;

use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;

pub(crate) use letter::Letter;
pub(crate) use sending::{Sender, Way};
pub(crate) use webhook::fresh_key;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Messages that are taken at once, and sent side by side.
const MOST: u64 = 32;
const ABREAST: usize = 8;

/// What was taken belongs to this server for so long; sending takes less.
const LEASE: SignedDuration = SignedDuration::from_mins(2);

/// When a message is given up, if it was tried at least so often.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24);
const FEWEST: u32 = 5;

/// How long to wait after the first attempt, and at most.
const FIRST_WAIT: i64 = 15;
const LONGEST_WAIT: i64 = 3_600;

/// Sends until the server stops.
pub(crate) async fn run(app: App) {
    app.every(EVERY, due).await;
}

/// All that is due now.
async fn due(app: &App) -> Result<(), Problem> {
    loop {
        let now = app.now();
        let again = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
        let taken = app.store.system().take_notifications(now, again, MOST).await?;
        let is_all = (taken.len() as u64) < MOST;
        let sending = futures_util::stream::iter(taken.into_iter().map(|message| one(app, message)));
        let results: Vec<_> = sending.buffer_unordered(ABREAST).collect().await;
        results.into_iter().collect::<Result<(), Problem>>()?;
        if is_all {
            return Ok(());
        }
    }
}

/// What happens to a message now.
enum Turn {
    Send(Way, Box<Sender>),
    Wait(Timestamp),
    Hold(Timestamp),
    Drop,
    /// There is nobody any more, or nothing to send it by; in words.
    Impossible(String),
}

async fn one(app: &App, message: Notification) -> Result<(), Problem> {
    let (system, now) = (app.store.system(), app.now());
    let why = match turn(app, &message, now).await? {
        Turn::Wait(until) => return Ok(system.notification_waits(&message, until, false).await?),
        Turn::Hold(until) => return Ok(system.notification_waits(&message, until, true).await?),
        Turn::Drop => return Ok(system.notification_dropped(&message.id, now).await?),
        Turn::Impossible(why) => why,
        Turn::Send(way, sender) => {
            let letter = Letter::of(&message, sender.firm(), &app.facade.address, now);
            match sender.send(&way, &letter).await {
                Ok(_) => return Ok(system.notification_sent(&message.id, app.now()).await?),
                Err(unsent) => unsent.words(),
            }
        }
    };
    failed(app, &message, &why).await
}

async fn turn(app: &App, message: &Notification, now: Timestamp) -> Result<Turn, Problem> {
    let retold = app.store.system().retold(message).await?;
    let soon = now.checked_add(SignedDuration::from_secs(FIRST_WAIT)).unwrap_or(Timestamp::MAX);
    match message.kind {
        NoticeKind::Over if retold.earlier_waits => return Ok(Turn::Wait(soon)),
        NoticeKind::Over if retold.was_dropped && !retold.was_told => return Ok(Turn::Drop),
        NoticeKind::Over => {}
        _ if message.held && retold.is_over => return Ok(Turn::Drop),
        _ => {}
    }
    let Some(way) = Way::read(&message.recipient) else {
        return Ok(Turn::Impossible(format!("nobody is called {:?}", message.recipient)));
    };
    let sender = Sender::of(app, message.tenant, &way).await?;
    let quiet = sender.quiet().filter(|quiet| quiet.hold(message.key.condition, now));
    Ok(match quiet.and_then(|quiet| quiet.end(now)) {
        Some(end) => Turn::Hold(end),
        None => Turn::Send(way, Box::new(sender)),
    })
}

async fn failed(app: &App, message: &Notification, why: &str) -> Result<(), Problem> {
    let (system, now) = (app.store.system(), app.now());
    let attempts = message.attempts + 1;
    if attempts >= FEWEST && now.duration_since(message.made) >= GIVEN_UP {
        system.notification_given_up(&message.id, why, now).await?;
        let words = format!("gave up a message to {}: {why}", message.recipient);
        app.observe(Event::Problem(words));
        return crate::judge::alarms(app, message.tenant).await;
    }
    Ok(system.notification_failed(&message.id, why, wait(now, attempts)).await?)
}

/// Twice as long after every attempt, up to an hour.
fn wait(now: Timestamp, attempts: u32) -> Timestamp {
    let seconds = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(LONGEST_WAIT);
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Whom a firm tells, when.
pub(crate) async fn escalation(app: &App, tenant: TenantId) -> Result<Escalation, Problem> {
    let firm = firm::Firm::load(app, tenant).await?;
    let people = app.store.system().people_of(tenant).await?;
    let mut steps = Vec::new();
    for step in &firm.steps {
        let mut to = Vec::new();
        for person in people.iter().filter(|person| step.people.contains(&person.id)) {
            to.extend(own::Own::load(app, person.id).await?.ways(person.id).map(|way| way.recipient()));
        }
        if step.webhook && firm.webhook.is_some() {
            to.push(Way::Webhook.recipient());
        }
        steps.push(fleet::Step { after: step.after, to });
    }
    Ok(Escalation { steps, quiet: None })
}

/// Whether messages arrive: what was given up last, if nothing was sent the same way since.
pub(crate) async fn observation(app: &App, tenant: TenantId, now: Timestamp) -> Result<Observation, Problem> {
    let since = now.checked_sub(SignedDuration::from_hours(31 * 24)).unwrap_or(Timestamp::MIN);
    let deaf = app.store.system().deaf(tenant, since).await?;
    let people = app.store.system().people_of(tenant).await?;
    // Whoever is no member any more needs no messages.
    let words = deaf.iter().filter_map(|(recipient, why)| {
        let way = Way::read(recipient)?;
        let name = way.person().map(|id| people.iter().find(|person| person.id == id).map(|person| &person.name));
        match name {
            Some(None) => None,
            Some(Some(name)) => Some(format!("{} to {name} ({why})", way.words())),
            None => Some(format!("{} ({why})", way.words())),
        }
    });
    let words: Vec<_> = words.collect();
    let finding = match words.is_empty() {
        true => Finding::Fine,
        false => Finding::Wrong(format!("Messages did not arrive for a day: {}.", words.join("; "))),
    };
    Ok(Observation { key: AlertKey { subject: Subject::Ourselves, condition: Condition::Messages }, finding })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_up_to_one_an_hour() {
        let waits = |attempts| wait(Timestamp::UNIX_EPOCH, attempts).as_second();
        assert_eq!([1, 2, 3, 8, 9, 60].map(waits), [15, 30, 60, 1_920, 3_600, 3_600]);
    }
}
