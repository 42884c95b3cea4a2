//! The crowd: agents on real lines, with keys of their own. Each is heard every half a minute as real ones are; a run begins
//! every few seconds, as when everybody has one a day, tells how far it is every five seconds, and ends after a minute.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::wire::agent::{Event, FromAgent};
use api::wire::{self, Caller, Challenge, Introduction, Verdict};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use fleet::{Amount, JobKind, Outcome as Ending, Phase, Report, RunCondition, RunId};
use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::Outcome;
use crate::servant::Servant;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Handshakes at the same time: who has 10,000 agents does not get all of them in the same second.
const AT_ONCE: usize = 50;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// All agents, connected.
pub(crate) struct Crowd {
    agents: Vec<mpsc::UnboundedSender<FromAgent>>,
    lost: mpsc::UnboundedReceiver<String>,
    /// How long it took until all were.
    pub(crate) took: Duration,
}

fn key(number: usize) -> Outcome<Ed25519KeyPair> {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| error.to_string().into())
}

/// The public key of the machine of that number.
pub(crate) fn public_key(number: usize) -> Outcome<[u8; 32]> {
    Ok(key(number)?.public_key().as_ref().try_into()?)
}

impl Crowd {
    /// Connects everybody.
    pub(crate) async fn gather(servant: &Servant, machines: usize) -> Outcome<Crowd> {
        let begin = Instant::now();
        let door = Arc::new(Door::of(servant)?);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let (told, lost) = mpsc::unbounded_channel();
        let calls: Vec<_> = (0..machines)
            .map(|number| {
                let (door, turns) = (Arc::clone(&door), Arc::clone(&turns));
                tokio::spawn(async move {
                    let _turn = turns.acquire().await?;
                    door.enter(number).await
                })
            })
            .collect();
        let mut agents = Vec::with_capacity(machines);
        for call in calls {
            let (says, said) = mpsc::unbounded_channel();
            tokio::spawn(live(call.await??, said, told.clone()));
            agents.push(says);
        }
        Ok(Crowd { agents, lost, took: begin.elapsed() })
    }

    /// Watches for so long, while runs begin and end. Who is hung up on makes the figures worthless.
    pub(crate) async fn works(&self, watched: Duration) -> Outcome {
        let end = Instant::now() + watched;
        let pause = Duration::from_secs_f64(DAY / self.agents.len() as f64);
        let mut turn = 0;
        while Instant::now() < end {
            let agent = self.agents[(turn * 7_919) % self.agents.len()].clone();
            tokio::spawn(run(agent));
            turn += 1;
            tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
        }
        match self.lost.is_empty() {
            true => Ok(()),
            false => Err(format!("{} agents were hung up on", self.lost.len()).into()),
        }
    }

    /// Everybody goes.
    pub(crate) fn leave(self) {
        drop(self.agents);
    }
}

/// A line until its agent leaves: heartbeats, and what it says.
async fn live(socket: Socket, mut said: mpsc::UnboundedReceiver<FromAgent>, lost: mpsc::UnboundedSender<String>) {
    let (mut out, mut heard) = socket.split();
    let mut beats = tokio::time::interval(Duration::from_secs(60));
    beats.reset_after(Duration::from_secs_f64(60.0 * rand::random::<f64>()));
    loop {
        let message = tokio::select! {
            _ = beats.tick() => FromAgent::Beat { at: Timestamp::now() },
            message = said.recv() => match message {
                Some(message) => message,
                None => return,
            },
            next = heard.next() => match next {
                Some(Ok(_)) => continue,
                _ => return drop(lost.send("hung up".into())),
            },
        };
        let Ok(text) = wire::written(&message) else { continue };
        if out.send(Message::text(text)).await.is_err() {
            return drop(lost.send("cannot speak".into()));
        }
    }
}

/// One run of a minute. Who left says no more.
async fn run(agent: mpsc::UnboundedSender<FromAgent>) {
    let (run, begin) = (RunId::made(Timestamp::now(), rand::random()), Timestamp::now());
    let total = 40_000_000_000;
    let begun = Event::Begun { run, job: None, kind: JobKind::Backup, at: begin };
    _ = agent.send(FromAgent::Event { number: 1, event: begun });
    for number in 1..=12 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let amount = Amount { done: total / 12 * number, total, new: total / 1_000 };
        let (phase, condition) = (Phase::Reading, RunCondition::Moving);
        let report = Report { number, at: Timestamp::now(), phase, condition, amount, setback: None };
        _ = agent.send(FromAgent::Progress { run, report });
    }
    let (at, outcome) = (Timestamp::now(), Ending::Good);
    let ended = Event::Ended { run, job: None, at, outcome, snapshots: Vec::new() };
    _ = agent.send(FromAgent::Event { number: 2, event: ended });
}

/// Each client's machines stand behind an address of their own, as the server counts calls of each network.
fn office(number: usize) -> IpAddr {
    let client = number / crate::OF_A_CLIENT;
    Ipv4Addr::new(127, (1 + client / 250) as u8, (client % 250) as u8, 1).into()
}

/// Where agents go in.
struct Door {
    address: String,
    fingerprint: String,
    connector: TlsConnector,
}

impl Door {
    fn of(servant: &Servant) -> Outcome<Door> {
        let address = servant.address.trim_start_matches("https://").replace("localhost", "127.0.0.1");
        Ok(Door { address, fingerprint: servant.fingerprint.clone(), connector: crate::visit::believing()? })
    }

    async fn enter(&self, number: usize) -> Outcome<Socket> {
        let own = TcpSocket::new_v4()?;
        own.bind((office(number), 0).into())?;
        let tcp = own.connect(self.address.parse()?).await?;
        tcp.set_nodelay(true)?;
        let stream = self.connector.connect("localhost".try_into()?, tcp).await?;
        let address = format!("wss://{}{}", self.address, wire::PATH);
        let (mut socket, _) = tokio_tungstenite::client_async(address, stream).await?;
        let challenge: Challenge = hear(&mut socket).await?;
        let introduction = self.introduce(number, &challenge)?;
        socket.send(Message::text(wire::written(&introduction)?)).await?;
        match hear::<Verdict>(&mut socket).await? {
            Verdict::Welcome(_) => Ok(socket),
            Verdict::Refused { sentence, .. } => Err(sentence.into()),
        }
    }

    fn introduce(&self, number: usize, challenge: &Challenge) -> Outcome<Introduction> {
        let (key, hardware) = (key(number)?, String::new());
        let signed = wire::signed(&challenge.nonce, &self.fingerprint, Caller::Agent, 1, &hardware);
        Ok(Introduction {
            caller: Caller::Agent,
            protocol: wire::NEWEST,
            version: env!("CARGO_PKG_VERSION").into(),
            identity: hex::encode(key.public_key().as_ref()),
            counter: 1,
            hardware,
            signature: hex::encode(key.sign(signed.as_bytes())),
        })
    }
}

async fn hear<T: serde::de::DeserializeOwned>(socket: &mut Socket) -> Outcome<T> {
    loop {
        match socket.next().await.ok_or("the server hung up")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Close(_) => return Err("the server closed the line".into()),
            _ => {}
        }
    }
}
