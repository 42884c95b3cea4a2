//! Sleep: the system says that it is going to, and waits a moment for those who asked (logind's inhibitor in delay mode).

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use zbus::{MatchRule, MessageStream, OwnedFd};

use crate::bus::{Bus, BusAddress};

const SERVICE: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// What the system is about to do, or has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// It goes to sleep as soon as whoever is told returns, and after five seconds at the latest.
    Begins,
    /// It is awake again.
    Ended,
}

/// Tells about sleep until `told` returns false; blocks. An error where there is no logind on the bus.
pub fn watch_sleep(address: &BusAddress, mut told: impl FnMut(Option<Sleep>) -> bool) -> io::Result<()> {
    let bus = Bus::open(address)?;
    let mut signals = bus.wait(signals(&bus)).ok_or(io::ErrorKind::TimedOut)?.map_err(io::Error::other)?;
    let mut held = Some(inhibit(&bus)?);
    loop {
        let next = bus.wait_on(async { tokio::time::timeout(Duration::from_secs(1), signals.next()).await });
        let sleep = match next {
            Err(_) => None,
            Ok(None) => return Err(io::ErrorKind::ConnectionReset.into()),
            Ok(Some(message)) => {
                let begins: bool = message.map_err(io::Error::other)?.body().deserialize().map_err(io::Error::other)?;
                Some(if begins { Sleep::Begins } else { Sleep::Ended })
            }
        };
        let goes_on = told(sleep);
        match sleep {
            // It may sleep from now on.
            Some(Sleep::Begins) => drop(held.take()),
            Some(Sleep::Ended) if held.is_none() => held = Some(inhibit(&bus)?),
            _ => {}
        }
        if !goes_on {
            return Ok(());
        }
    }
}

async fn signals(bus: &Bus) -> zbus::Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .path(PATH)
        .interface(MANAGER)
        .member("PrepareForSleep")
        .build()?;
    MessageStream::for_match_rule(rule, bus.connection(), None).await
}

/// Asks to be told and waited for; whoever drops what is returned lets the system sleep.
fn inhibit(bus: &Bus) -> io::Result<OwnedFd> {
    let words = ("sleep", "stead", "a backup writes down how far it is", "delay");
    let ask = bus.connection().call_method(Some(SERVICE), PATH, Some(MANAGER), "Inhibit", &words);
    let answer = bus.wait(ask).ok_or(io::ErrorKind::TimedOut)?.map_err(io::Error::other)?;
    answer.body().deserialize().map_err(io::Error::other)
}
