//! Roaming: when a machine on the road does not send, and how fast it does otherwise. Pure: the surroundings come in, and
//! what is waited for comes out. What is not known of the surroundings holds nothing up.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::age::{count_of, size_in_words};
use crate::window::first_open;
use crate::{Cause, Window, Zone};

/// How much power a backup needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// Any.
    #[default]
    Any,
    /// On battery, at least so many per cent of it.
    Floor(u8),
    /// Mains.
    Mains,
}

/// What a link that is paid by volume is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metered {
    /// Backups, as any other link.
    #[default]
    Used,
    /// Nothing: another link is waited for.
    Avoided,
}

/// How fast it sends at some hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speed {
    /// When.
    pub window: Window,
    /// Bytes in a second; at least 1.
    pub bytes_per_second: u64,
}

/// What holds on the road. The default is that nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roaming {
    /// How much power is needed.
    pub power: Power,
    /// What metered links are used for.
    pub metered: Metered,
    /// Bytes that may be sent on one day, by the zone of the schedule; none: any.
    pub daily_bytes: Option<u64>,
    /// How fast it sends at some hours; of those that overlap, the first counts. At other hours as fast as it goes.
    pub speeds: Vec<Speed>,
    /// After so many days without a good backup it goes anyway, in spite of metered links, budgets and battery.
    pub overdue_days: Option<u16>,
}

/// Battery below which nothing goes anyway, however overdue, in per cent.
const LAST_FLOOR: u8 = 15;

/// Whether there is a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nobody knows.
    #[default]
    Unknown,
    /// There is.
    Up,
    /// There is one that somebody must sign in to.
    Captive,
    /// There is none.
    Down,
}

/// What is known of a machine's surroundings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// Whether it is on mains; none: nobody knows.
    pub mains: Option<bool>,
    /// Its battery, in per cent; none: nobody knows, or it has none.
    pub battery: Option<u8>,
    /// Whether its link is paid by volume; none: nobody knows.
    pub metered: Option<bool>,
    /// Whether there is a network.
    pub network: Network,
}

/// What stands beside the surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Ledger {
    /// Bytes that were sent today.
    pub sent_today: u64,
    /// When the last good backup began, or when the machine joined.
    pub last_good: Timestamp,
    /// Now.
    pub now: Timestamp,
}

impl Roaming {
    /// What is waited for, if something is.
    pub fn waits_for(&self, around: &Around, ledger: &Ledger) -> Option<Cause> {
        match around.network {
            Network::Captive => return Some(Cause::CaptivePortal),
            Network::Down => return Some(Cause::Network),
            Network::Up | Network::Unknown => {}
        }
        let overdue = self.is_overdue(ledger);
        if self.lacks_power(around, overdue) {
            return Some(Cause::Mains);
        }
        if overdue {
            return None;
        }
        if self.metered == Metered::Avoided && around.metered == Some(true) {
            return Some(Cause::UnmeteredLink);
        }
        let is_spent = self.daily_bytes.is_some_and(|budget| ledger.sent_today >= budget);
        is_spent.then_some(Cause::Budget)
    }

    /// Whether the last good backup is so old that it goes anyway.
    pub fn is_overdue(&self, ledger: &Ledger) -> bool {
        let Some(days) = self.overdue_days else { return false };
        ledger.now.duration_since(ledger.last_good) >= SignedDuration::from_hours(24 * i64::from(days))
    }

    fn lacks_power(&self, around: &Around, overdue: bool) -> bool {
        if around.mains != Some(false) {
            return false;
        }
        let below = |floor: u8| around.battery.is_some_and(|battery| battery < floor);
        match self.power {
            Power::Any => false,
            Power::Floor(floor) if overdue => below(floor.min(LAST_FLOOR)),
            Power::Mains if overdue => below(LAST_FLOOR),
            Power::Floor(floor) => below(floor),
            Power::Mains => true,
        }
    }

    /// Bytes in a second that it may send now; none: as fast as it goes.
    pub fn speed(&self, zone: &Zone, now: Timestamp) -> Option<u64> {
        let is_open = |speed: &&Speed| first_open(std::slice::from_ref(&speed.window), zone, now) == Some(now);
        self.speeds.iter().find(is_open).map(|speed| speed.bytes_per_second.max(1))
    }

    /// What holds, in a sentence each; none if nothing does.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.waiting().into_iter().collect();
        sentences.extend(self.speeds.iter().map(|speed| {
            let rate = size_in_words(speed.bytes_per_second.max(1));
            format!("Sends at most {rate} a second {}.", speed.window.words())
        }));
        if let Some(days) = self.overdue_days {
            let days = count_of(days.into(), "day");
            sentences.push(format!(
                "After {days} without a good backup it goes anyway, as long as the battery has {LAST_FLOOR} %."
            ));
        }
        sentences
    }

    fn waiting(&self) -> Option<String> {
        let mut parts = Vec::new();
        match self.power {
            Power::Any => {}
            Power::Floor(floor) => parts.push(format!("while the battery is below {floor} %")),
            Power::Mains => parts.push("on battery".into()),
        }
        if self.metered == Metered::Avoided {
            parts.push("on links that are paid by volume".into());
        }
        if let Some(budget) = self.daily_bytes {
            parts.push(format!("when {} were sent on a day", size_in_words(budget)));
        }
        (!parts.is_empty()).then(|| format!("Waits {}.", crate::keep::listed(&parts)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ledger(sent_today: u64) -> Ledger {
        Ledger { sent_today, last_good: at("2026-11-20T12:00:00Z"), now: at("2026-11-22T12:00:00Z") }
    }

    fn on_battery(battery: u8) -> Around {
        Around { mains: Some(false), battery: Some(battery), network: Network::Up, ..Around::default() }
    }

    fn strict() -> Roaming {
        Roaming {
            power: Power::Floor(40),
            metered: Metered::Avoided,
            daily_bytes: Some(1_000),
            overdue_days: None,
            speeds: vec![],
        }
    }

    #[test]
    fn nothing_holds_where_nothing_is_ruled_or_known() {
        let flat = Around { mains: Some(false), battery: Some(1), metered: Some(true), network: Network::Up };
        assert_eq!(Roaming::default().waits_for(&flat, &ledger(u64::MAX)), None);
        assert_eq!(strict().waits_for(&Around::default(), &ledger(0)), None);
        assert!(Roaming::default().sentences().is_empty());
    }

    #[test]
    fn each_rule_names_what_is_waited_for() {
        assert_eq!(strict().waits_for(&on_battery(39), &ledger(0)), Some(Cause::Mains));
        assert_eq!(strict().waits_for(&on_battery(40), &ledger(0)), None);
        let metered = Around { metered: Some(true), ..Around::default() };
        assert_eq!(strict().waits_for(&metered, &ledger(0)), Some(Cause::UnmeteredLink));
        assert_eq!(strict().waits_for(&Around::default(), &ledger(1_000)), Some(Cause::Budget));
        let mains = Roaming { power: Power::Mains, ..Roaming::default() };
        assert_eq!(mains.waits_for(&on_battery(100), &ledger(0)), Some(Cause::Mains));
        let captive = Around { network: Network::Captive, ..Around::default() };
        assert_eq!(Roaming::default().waits_for(&captive, &ledger(0)), Some(Cause::CaptivePortal));
    }

    #[test]
    fn what_is_overdue_goes_anyway_but_not_on_the_last_of_the_battery() {
        let overdue = Roaming { overdue_days: Some(2), ..strict() };
        let metered = Around { metered: Some(true), ..on_battery(20) };
        assert_eq!(overdue.waits_for(&metered, &ledger(5_000)), None);
        assert_eq!(overdue.waits_for(&on_battery(14), &ledger(0)), Some(Cause::Mains));
        let patient = Roaming { overdue_days: Some(3), ..strict() };
        assert_eq!(patient.waits_for(&metered, &ledger(0)), Some(Cause::Mains));
        let captive = Around { network: Network::Captive, ..Around::default() };
        assert_eq!(overdue.waits_for(&captive, &ledger(0)), Some(Cause::CaptivePortal));
    }

    #[test]
    fn speed_follows_the_hour() {
        let window = Window { days: vec![], from: time(8, 0, 0, 0), to: time(18, 0, 0, 0) };
        let slow = Roaming { speeds: vec![Speed { window, bytes_per_second: 1_000_000 }], ..Roaming::default() };
        let zone = Zone::named("Europe/Vienna").unwrap();
        assert_eq!(slow.speed(&zone, at("2026-11-23T07:00:00Z")), Some(1_000_000));
        assert_eq!(slow.speed(&zone, at("2026-11-23T17:00:00Z")), None);
        assert_eq!(slow.sentences(), ["Sends at most 1.0 MB a second every day 08:00 to 18:00."]);
    }

    #[test]
    fn rules_are_told_in_sentences_and_old_policies_have_none() {
        let sentences = Roaming { overdue_days: Some(7), ..strict() }.sentences();
        assert_eq!(
            sentences,
            [
                "Waits while the battery is below 40 %, on links that are paid by volume and when 1.0 kB were sent on a day.",
                "After 7 days without a good backup it goes anyway, as long as the battery has 15 %.",
            ]
        );
        assert_eq!(serde_json::from_str::<Roaming>("{}").unwrap(), Roaming::default());
        assert!(serde_json::from_str::<Roaming>(r#"{"power":{"floor":400}}"#).is_err());
    }
}
