//! Failed attempts to come in, limited per account and per address. Memory is bounded: both are sorted into a fixed number of
//! buckets by a hash that strangers cannot foresee.
//!
//! Secrets have 256 random bits, so nobody guesses one; what is limited is the noise. Therefore somebody who knows a
//! machine's name must not be able to shut it out: from where an account came in last, its attempts are always judged.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

/// Accounts and addresses are sorted into so many buckets each.
const BUCKETS: u64 = 1 << 16;

/// How many failed attempts pass before further ones are not judged for a while.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// Per minute and account; so many at once, too.
    pub per_account: NonZeroU32,
    /// Per minute and address (IPv6: network of 64 bits); so many at once, too.
    pub per_address: NonZeroU32,
}

impl Default for AttemptLimits {
    fn default() -> AttemptLimits {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        AttemptLimits { per_account: number(10), per_address: number(30) }
    }
}

/// Counts failed attempts.
pub(crate) struct Attempts {
    buckets: RandomState,
    accounts: Count,
    addresses: Count,
    /// By bucket of the account: hash of account and address that came in last.
    known: Mutex<HashMap<u16, u64>>,
}

struct Count {
    limiter: RateLimiter<u16, HashMapStateStore<u16>, DefaultClock>,
    closed_until: Mutex<HashMap<u16, Instant>>,
}

impl Attempts {
    pub(crate) fn new(limits: AttemptLimits) -> Attempts {
        let count = |per_minute| Count {
            limiter: RateLimiter::hashmap(Quota::per_minute(per_minute)),
            closed_until: Mutex::default(),
        };
        Attempts {
            buckets: RandomState::new(),
            accounts: count(limits.per_account),
            addresses: count(limits.per_address),
            known: Mutex::default(),
        }
    }

    /// How long attempts for that account from that address are not judged.
    pub(crate) fn wait(&self, account: &str, address: IpAddr) -> Option<Duration> {
        let own = self.bucket(account);
        if self.known.lock().get(&own) == Some(&self.pair(account, address)) {
            return None;
        }
        let waits = [self.accounts.wait(own), self.addresses.wait(self.bucket(network(address)))];
        waits.into_iter().flatten().max()
    }

    /// Takes note of an attempt that failed.
    pub(crate) fn failed(&self, account: &str, address: IpAddr) {
        self.accounts.count(self.bucket(account));
        self.addresses.count(self.bucket(network(address)));
    }

    /// Takes note of where an account came in.
    pub(crate) fn succeeded(&self, account: &str, address: IpAddr) {
        self.known.lock().insert(self.bucket(account), self.pair(account, address));
    }

    fn bucket(&self, of: impl Hash) -> u16 {
        (self.buckets.hash_one(of) % BUCKETS) as u16
    }

    fn pair(&self, account: &str, address: IpAddr) -> u64 {
        self.buckets.hash_one((account, network(address)))
    }
}

impl Count {
    fn wait(&self, bucket: u16) -> Option<Duration> {
        let mut closed = self.closed_until.lock();
        let wait = closed.get(&bucket)?.checked_duration_since(Instant::now());
        if wait.is_none() {
            closed.remove(&bucket);
        }
        wait
    }

    fn count(&self, bucket: u16) {
        if let Err(refused) = self.limiter.check_key(&bucket) {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            self.closed_until.lock().insert(bucket, Instant::now() + wait);
        }
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    #[test]
    fn many_failures_close_the_account_but_not_for_its_machine() {
        let attempts = Attempts::new(AttemptLimits::default());
        attempts.succeeded("pc", HERE);
        for number in 0..30 {
            attempts.failed("pc", address(number));
        }
        assert!(attempts.wait("pc", address(99)).is_some(), "strangers wait");
        assert_eq!(attempts.wait("pc", HERE), None, "the machine itself does not");
        assert_eq!(attempts.wait("other", address(98)), None, "nor does anybody else");
    }

    #[test]
    fn an_address_that_tries_many_names_is_closed() {
        let attempts = Attempts::new(AttemptLimits::default());
        for number in 0..40 {
            attempts.failed(&format!("name-{number}"), HERE);
        }
        assert!(attempts.wait("name-99", HERE).is_some());
    }

    #[test]
    fn memory_does_not_grow_with_names_and_addresses() {
        let attempts = Attempts::new(AttemptLimits::default());
        for number in 0..200_000_u32 {
            attempts.failed(&number.to_string(), IpAddr::V4(number.into()));
        }
        for count in [&attempts.accounts, &attempts.addresses] {
            assert!(count.limiter.len() <= BUCKETS as usize);
            assert!(count.closed_until.lock().len() <= BUCKETS as usize);
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let one = network("2001:db8::1".parse().unwrap());
        assert_eq!(one, network("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(one, network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), address(1));
    }
}
