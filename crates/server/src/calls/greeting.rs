//! Greeting: a challenge, who it is, and whether it comes in. A challenge is good for one connection.

use std::time::Duration;

use api::wire::{self, Caller, Challenge, Introduction, Refusal, Verdict, Welcome};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use axum::extract::ws::{Message, WebSocket};
use fleet::{Machine, Observation};
use serde::Serialize;
use store::{Met, MetKeeper};
use tokio::time::timeout;

use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;

/// A greeting takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Characters of what is claimed.
const LONGEST_CLAIM: usize = 200;

/// Who came in.
pub(crate) enum Greeted {
    /// An agent.
    Agent(Met, Introduction),
    /// A keeper.
    Keeper(MetKeeper),
}

/// Why somebody does not.
struct Refused(Refusal, &'static str);

const UNKNOWN: Refused = Refused(Refusal::Unknown, "Nobody is known here by this key. Enrol with a new code.");
const LATER: Refused = Refused(Refusal::Later, "The server cannot look you up now. Come again later.");
const TOO_OLD: Refused =
    Refused(Refusal::Version, "Your program is too old for this server: it speaks a protocol that is gone. Update it.");
const TOO_NEW: Refused =
    Refused(Refusal::Version, "Your program speaks a protocol that this server does not know yet. Update the server.");
const RETIRED: Refused = Refused(Refusal::Retired, "This machine is not looked after any more. Its backups are kept.");
const TWICE: Refused =
    Refused(Refusal::Quarantined, "This key seems to be at two places. A person must say which is right.");

/// Greets somebody; none: they did not come in, and were told why if they listened.
pub(crate) async fn greet(app: &App, socket: &mut WebSocket) -> Option<Greeted> {
    timeout(PATIENCE, introduce(app, socket)).await.ok()?
}

async fn introduce(app: &App, socket: &mut WebSocket) -> Option<Greeted> {
    let nonce = nonce(app)?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let challenge = Challenge { oldest: wire::OLDEST, newest: wire::NEWEST, version, nonce: nonce.clone() };
    say(socket, &challenge).await?;
    let Ok(Message::Text(text)) = socket.recv().await? else { return None };
    let introduction: Introduction = serde_json::from_str(&text).ok()?;
    match judge(app, &nonce, introduction).await {
        Ok((you, greeted)) => {
            say(socket, &Verdict::Welcome(Welcome { you, at: app.now(), beat: super::BEAT })).await?;
            Some(greeted)
        }
        Err(Refused(cause, sentence)) => {
            say(socket, &Verdict::Refused { cause, sentence: sentence.into() }).await?;
            _ = socket.send(Message::Close(None)).await;
            None
        }
    }
}

fn nonce(app: &App) -> Option<String> {
    let mut bytes = [0; 32];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => Some(hex::encode(bytes)),
        Err(error) => {
            app.observe(Event::Problem(format!("cannot draw random bytes: {error}")));
            None
        }
    }
}

async fn say<T: Serialize>(socket: &mut WebSocket, message: &T) -> Option<()> {
    socket.send(Message::text(wire::written(message).ok()?)).await.ok()
}

async fn judge(app: &App, nonce: &str, said: Introduction) -> Result<(String, Greeted), Refused> {
    match said.protocol {
        old if old < wire::OLDEST => return Err(TOO_OLD),
        new if new > wire::NEWEST => return Err(TOO_NEW),
        _ => {}
    }
    let claims = [&said.version, &said.hardware];
    if claims.iter().any(|claim| claim.len() > LONGEST_CLAIM || claim.contains('\n')) {
        return Err(UNKNOWN);
    }
    let identity = verified(app, nonce, &said).ok_or(UNKNOWN)?;
    let system = app.store.system();
    let told = |error: store::Error| {
        if let Some(words) = Problem::from(error).for_the_log() {
            app.observe(Event::Problem(words));
        }
        LATER
    };
    // Anybody can make keys and sign with them: those who are known by none are not worth a transaction.
    if !system.is_known(&identity).await.map_err(told)? {
        return Err(UNKNOWN);
    }
    match said.caller {
        Caller::Keeper => {
            let met = system.meet_keeper(&identity, said.counter).await.map_err(told)?.ok_or(UNKNOWN)?;
            match met.keeper.quarantined {
                Some(_) => {
                    if let Some(line) = app.calls.keepers.of(met.keeper.id) {
                        line.line.hang_up();
                    }
                    app.observe(Event::Problem(format!("the key of the keeper {} is at two places", met.keeper.name)));
                    Err(TWICE)
                }
                None => Ok((met.keeper.id.to_string(), Greeted::Keeper(met))),
            }
        }
        Caller::Agent => {
            let met = system.meet(&identity, said.counter, &said.hardware).await.map_err(told)?.ok_or(UNKNOWN)?;
            match (met.retired, &met.quarantined) {
                (true, _) => Err(RETIRED),
                (false, Some(why)) => {
                    quarantine(app, &met, why).await.map_err(|_| LATER)?;
                    Err(TWICE)
                }
                (false, None) => Ok((met.machine.to_string(), Greeted::Agent(met, said))),
            }
        }
    }
}

fn verified(app: &App, nonce: &str, said: &Introduction) -> Option<[u8; 32]> {
    let (mut identity, mut signature) = ([0; 32], [0; 64]);
    hex::decode_to_slice(&said.identity, &mut identity).ok()?;
    hex::decode_to_slice(&said.signature, &mut signature).ok()?;
    let key = UnparsedPublicKey::new(&ED25519, identity);
    let signs_for = |fingerprint: &String| {
        let signed = wire::signed(nonce, fingerprint, said.caller, said.counter, &said.hardware);
        key.verify(signed.as_bytes(), &signature).is_ok()
    };
    app.fingerprints().iter().any(signs_for).then_some(identity)
}

/// Neither place is believed: the line that there is ends, and somebody is told.
async fn quarantine(app: &App, met: &Met, why: &str) -> Result<(), Problem> {
    if let Some(line) = app.calls.agents.of(met.machine) {
        line.line.hang_up();
    }
    let Some(machine) = app.store.system().machine(met.machine).await? else { return Ok(()) };
    crate::judge::observed(app, met.tenant, of_identity(&machine, why)).await
}

fn of_identity(machine: &Machine, why: &str) -> Observation {
    Observation::of_identity(machine, Some(format!("{}: {why}.", machine.name)))
}
