//! Attempts to sign in: how many are heard, by account, by address, and by both. Memory is bounded whatever is sent:
//! names and addresses fall into slots, and a slot is a few bytes.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// How many slots a limit has. Who shares one with an attacker waits with them; by chance one in 65,536 does.
const SLOTS: u64 = 1 << 16;

struct Limit(RateLimiter<u16, HashMapStateStore<u16>, DefaultClock>);

impl Limit {
    fn new(at_once: NonZeroU32, then_each: Duration) -> Limit {
        let quota = Quota::with_period(then_each).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
        Limit(RateLimiter::hashmap(quota.allow_burst(at_once)))
    }

    fn check(&self, slot: u16) -> Result<(), Wait> {
        let clock = DefaultClock::default();
        let wait = |not_until: governor::NotUntil<_>| Wait(not_until.wait_time_from(clock.now()).as_secs() + 1);
        self.0.check_key(&slot).map_err(wait)
    }
}

/// Seconds until the next attempt is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) u64);

/// The limits together.
pub(crate) struct Attempts {
    hasher: RandomState,
    pair: Limit,
    address: Limit,
    account: Limit,
    calls: Limit,
}

impl Default for Attempts {
    fn default() -> Attempts {
        let times = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Attempts {
            hasher: RandomState::new(),
            pair: Limit::new(times(8), Duration::from_secs(30)),
            address: Limit::new(times(40), Duration::from_secs(10)),
            account: Limit::new(times(100), Duration::from_secs(10)),
            calls: Limit::new(times(1_000), Duration::from_millis(100)),
        }
    }
}

impl Attempts {
    /// Counts one attempt; says how long to wait if there were too many.
    pub(crate) fn count(&self, account: &str, address: IpAddr) -> Result<(), Wait> {
        let (account, network) = (account.trim().to_lowercase(), network(address));
        self.address.check(self.slot(&network))?;
        self.pair.check(self.slot(&(&account, &network)))?;
        self.account.check(self.slot(&account))
    }

    /// Counts one call of an agent or keeper: many of them may stand behind one address, and come back at once.
    pub(crate) fn count_call(&self, address: IpAddr) -> Result<(), Wait> {
        self.calls.check(self.slot(&network(address)))
    }

    fn slot(&self, key: &impl std::hash::Hash) -> u16 {
        (self.hasher.hash_one(key) % SLOTS) as u16
    }

    #[cfg(test)]
    fn slots_in_use(&self) -> usize {
        [&self.pair, &self.address, &self.account].iter().map(|limit| limit.0.len()).sum()
    }
}

/// Whoever has one address has its neighbours: /24, and /64 of IPv6.
fn network(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [0, 0, 0, 0, 4, a, b, c]
        }
        IpAddr::V6(v6) => {
            let mut network = [0; 8];
            network.copy_from_slice(&v6.octets()[..8]);
            network
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_ninth_attempt_at_an_account_from_one_place_waits_and_elsewhere_does_not() {
        let attempts = Attempts::default();
        let here = IpAddr::from(Ipv4Addr::new(192, 0, 2, 7));
        for _ in 0..8 {
            assert_eq!(attempts.count("anna", here), Ok(()));
        }
        assert!(attempts.count(" Anna ", here).is_err_and(|Wait(seconds)| (1..=31).contains(&seconds)));
        assert_eq!(attempts.count("anna", Ipv4Addr::new(198, 51, 100, 7).into()), Ok(()));
    }

    #[test]
    fn names_without_end_from_as_many_places_take_bounded_memory() {
        let attempts = Attempts::default();
        for number in 0..200_000_u128 {
            _ = attempts.count(&number.to_string(), Ipv6Addr::from(number << 64).into());
        }
        assert!(attempts.slots_in_use() <= 3 * SLOTS as usize);
    }

    #[test]
    fn neighbours_are_one_network() {
        assert_eq!(network(Ipv4Addr::new(10, 1, 2, 3).into()), network(Ipv4Addr::new(10, 1, 2, 250).into()));
        assert_ne!(network(Ipv4Addr::new(10, 1, 2, 3).into()), network(Ipv4Addr::new(10, 1, 3, 3).into()));
        let mapped: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
        assert_eq!(network(mapped), network(Ipv4Addr::new(10, 1, 2, 3).into()));
    }
}
