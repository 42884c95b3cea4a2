//! Talking: orders in and events out, until the link is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::wire::agent::{Event, FromAgent, ToAgent};
use api::wire::{self, Welcome};
use fleet::RunId;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;

use super::Lost;
use super::channel::{Channel, This, lost};
use super::dial::Socket;
use crate::agent::{Core, Notice};
use crate::inbox;
use crate::status::Contact;

/// How often it is asked for a sign of life.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// How long it may give none.
const SILENCE: Duration = Duration::from_secs(45);

/// The same once the network is another one: the old link is likely dead.
const SILENCE_AFTER_MOVE: Duration = Duration::from_secs(5);

/// How often runs are asked how far they are.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How often it is written down that the server was heard.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// How many events are read at once.
const BATCH: usize = 64;

/// Talks until the link is lost.
pub(super) async fn talk(core: &Arc<Core>, socket: Socket, fingerprint: &str) -> Result<(), Lost> {
    let mut channel = Channel::new(socket);
    let this = This {
        identity: &core.identity,
        memory: &core.memory,
        hardware: &core.setup.hardware,
        version: &core.setup.version,
    };
    let welcome = channel.introduce(&this, fingerprint).await?;
    let mut talk =
        Talk { core, channel, sent: 0, heard: Instant::now(), silence: SILENCE, noted: None, told: HashMap::new() };
    talk.welcomed()?;
    let ended = talk.go_on(&welcome).await;
    if matches!(ended, Err(Lost::Stopped)) {
        talk.channel.close().await;
    }
    ended
}

struct Talk<'c> {
    core: &'c Arc<Core>,
    channel: Channel,
    /// The last event that was sent on this connection.
    sent: u64,
    /// When there was a sign of life.
    heard: Instant,
    silence: Duration,
    noted: Option<Instant>,
    /// The last report of each run that was told on this connection.
    told: HashMap<RunId, u64>,
}

impl Talk<'_> {
    fn welcomed(&mut self) -> Result<(), Lost> {
        let (core, since) = (self.core, self.core.setup.clock.now());
        *core.contact.lock() = Contact::Connected { since };
        (core.setup.tell)(Notice::Connected { server: core.membership.server.clone() });
        self.alive()?;
        core.ring();
        Ok(())
    }

    /// There was a sign of life.
    fn alive(&mut self) -> Result<(), Lost> {
        self.heard = Instant::now();
        self.silence = SILENCE;
        if self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY) {
            self.core.memory.note_contact(self.core.setup.clock.now())?;
            self.noted = Some(self.heard);
        }
        Ok(())
    }

    async fn go_on(&mut self, welcome: &Welcome) -> Result<(), Lost> {
        let every = |period: Duration| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut beat = every(Duration::from_secs(u64::from(welcome.beat).clamp(1, 3600)));
        let (mut ask, mut report) = (every(ASK_EVERY), every(REPORT_EVERY));
        // What happened is told after what our clock says: the server corrects the one by the other.
        self.channel.send(&FromAgent::Beat { at: self.core.setup.clock.now() }).await?;
        loop {
            self.tell_events().await?;
            let core = self.core;
            tokio::select! {
                message = self.channel.next() => self.hear(message)?,
                () = core.outgoing.notified() => {}
                _ = beat.tick() => self.channel.send(&FromAgent::Beat { at: core.setup.clock.now() }).await?,
                _ = ask.tick() => self.channel.push(Message::Ping(Vec::new().into())).await?,
                _ = report.tick() => self.tell_progress().await?,
                () = core.moved.notified() => {
                    self.silence = SILENCE_AFTER_MOVE;
                    self.heard = Instant::now();
                    self.channel.push(Message::Ping(Vec::new().into())).await?;
                }
                () = core.stopping.notified() => return Err(Lost::Stopped),
            }
            if self.core.stop.is_cancelled() {
                return Err(Lost::Stopped);
            }
            if self.heard.elapsed() > self.silence {
                return Err(Lost::Silent(self.silence));
            }
        }
    }

    fn hear(&mut self, message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Result<(), Lost> {
        let message = message.ok_or(Lost::Closed)?.map_err(lost)?;
        self.alive()?;
        match message {
            Message::Text(text) => match wire::read::<ToAgent>(&text) {
                Ok(Some(said)) => Ok(inbox::hear(self.core, said)?),
                Ok(None) => Ok(inbox::not_understood(self.core, &text)?),
                Err(error) => Err(Lost::Unclear(error.to_string())),
            },
            Message::Close(_) => Err(Lost::Closed),
            _ => Ok(()),
        }
    }

    async fn tell_events(&mut self) -> Result<(), Lost> {
        loop {
            let events = self.core.memory.unheard(self.sent, BATCH)?;
            if events.is_empty() {
                return Ok(());
            }
            for (number, event) in events {
                self.tell_last_report(&event).await?;
                self.channel.send(&FromAgent::Event { number, event }).await?;
                self.sent = number;
            }
        }
    }

    /// What a run said last goes before its end: a run that was quick has said nothing else.
    async fn tell_last_report(&mut self, event: &Event) -> Result<(), Lost> {
        let Event::Ended { run, .. } = event else { return Ok(()) };
        let last = self.core.last_reports.lock().iter().rev().find(|(ended, _)| ended == run).cloned();
        match last {
            Some((run, report)) => self.channel.send(&FromAgent::Progress { run, report }).await,
            None => Ok(()),
        }
    }

    /// The newest of each run, if it has changed or was not told here yet.
    async fn tell_progress(&mut self) -> Result<(), Lost> {
        let mut reports = Vec::new();
        for running in self.core.runs.lock().iter() {
            _ = running.watch.report();
            let run = running.run();
            let known = self.told.get(&run).copied().unwrap_or(0);
            if let Some(report) = running.watch.last().filter(|report| report.number > known) {
                self.told.insert(run, report.number);
                reports.push((run, report));
            }
        }
        for (run, report) in reports {
            self.channel.send(&FromAgent::Progress { run, report }).await?;
        }
        Ok(())
    }
}
