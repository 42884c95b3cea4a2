//! scrypt: how passwords become keys, within bounds.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::crypto::MasterKey;

/// Parameters of scrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfParams {
    /// Cost, a power of two.
    pub n: u64,
    /// Block size.
    pub r: u32,
    /// Parallelism.
    pub p: u32,
}

/// Most memory for one of the `p` lanes, and for those that are computed at the same time, in bytes.
const LARGEST_LANE: u64 = 1 << 30;
const LARGEST_TOTAL: u64 = 256 << 20;

/// Most work, as `n·r·p`: about two minutes on a slow core.
const MOST_WORK: u64 = 1 << 28;

/// What restic's calibration aims at: half a second and 60 MiB.
const TARGET_TIME: Duration = Duration::from_millis(500);
const TARGET_MEMORY: u64 = 60 << 20;
const MOST_LANES: u64 = 32;

impl KdfParams {
    /// For passwords with 256 random bits: stretching adds nothing.
    pub const RANDOM_PASSWORD: KdfParams = KdfParams { n: 1 << 10, r: 8, p: 1 };

    /// The least that typed passwords get: 32 MiB.
    pub const LEAST: KdfParams = KdfParams { n: 1 << 15, r: 8, p: 1 };

    /// For passwords that people type: as much as this machine does in about half a second and 60 MiB, as restic does.
    /// Takes a few milliseconds.
    pub fn calibrate() -> KdfParams {
        // One lane of an eighth of the least is measured, the rest follows: work is proportional to n·p.
        let probe = KdfParams { n: KdfParams::LEAST.n / 8, ..KdfParams::LEAST };
        let start = Instant::now();
        probe.derive(b"a password", &[0; 64]).expect("these parameters are in bounds");
        KdfParams::fitting(start.elapsed() * 8)
    }

    /// Parameters for a machine that takes `lane` for the least ones.
    fn fitting(lane: Duration) -> KdfParams {
        let largest_n = TARGET_MEMORY / (128 * u64::from(KdfParams::LEAST.r));
        let n = KdfParams::LEAST.n.max(1 << largest_n.ilog2());
        let lane = lane.as_nanos().max(1) * u128::from(n / KdfParams::LEAST.n);
        let p = (TARGET_TIME.as_nanos() / lane).clamp(1, u128::from(MOST_LANES)) as u32;
        KdfParams { n, p, ..KdfParams::LEAST }
    }

    /// Refuses what is no scrypt or would eat this machine's memory or time; errors in words.
    pub fn check(&self) -> Result<(), String> {
        let lane = self.lane_memory();
        let work = lane.and_then(|lane| (lane / 128).checked_mul(u64::from(self.p)));
        let sane = self.n > 1 && self.n.is_power_of_two() && self.r > 0 && self.p > 0;
        match (lane, work) {
            (Some(..=LARGEST_LANE), Some(..=MOST_WORK)) if sane => Ok(()),
            _ => Err(format!("scrypt parameters N={}, r={}, p={} are out of bounds", self.n, self.r, self.p)),
        }
    }

    fn lane_memory(&self) -> Option<u64> {
        self.n.checked_mul(u64::from(self.r))?.checked_mul(128)
    }

    /// The key that a password gives; an error in words if the parameters are out of bounds.
    pub(super) fn derive(&self, password: &[u8], salt: &[u8]) -> Result<MasterKey, String> {
        self.check()?;
        let params = scrypt::Params::new(self.n.ilog2() as u8, self.r, self.p).map_err(|error| error.to_string())?;
        let mut output = Zeroizing::new([0; 64]);
        let mut derive = || scrypt::scrypt(password, salt, &params, &mut *output).expect("64 bytes are a valid length");
        // The lanes go to the pool that we are in: one of our own bounds how much memory they take together.
        match rayon::ThreadPoolBuilder::new().num_threads(self.lanes_at_once()).build() {
            Ok(pool) => pool.install(derive),
            Err(_) => derive(),
        }
        Ok(MasterKey::from_bytes(&output))
    }

    fn lanes_at_once(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let fitting = LARGEST_TOTAL / self.lane_memory().unwrap_or(u64::MAX).max(1);
        cores.min(self.p as usize).min(fitting as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_and_60_mib_are_used() {
        let fitting = |millis| KdfParams::fitting(Duration::from_millis(millis));
        assert_eq!(fitting(100), KdfParams { n: 1 << 15, r: 8, p: 5 });
        assert_eq!(fitting(10_000), KdfParams::LEAST);
        assert_eq!(fitting(0).p, 32);
    }

    #[test]
    fn calibration_is_never_weaker_than_the_least() {
        let params = KdfParams::calibrate();
        assert!(params.n >= KdfParams::LEAST.n && params.r == 8 && params.p >= 1, "{params:?}");
        params.check().unwrap();
    }

    #[test]
    fn parameters_that_would_eat_the_machine_are_refused() {
        for (n, r, p) in [
            (0, 8, 1),
            (1, 8, 1),
            (3, 8, 1),
            (1 << 15, 0, 1),
            (1 << 15, 8, 0),
            (1 << 21, 8, 1),
            (1 << 63, 8, 1),
            (1 << 15, u32::MAX, 1),
            (2, u32::MAX, u32::MAX),
            (1 << 20, 8, 64),
            (1 << 15, 8, u32::MAX),
        ] {
            assert!(KdfParams { n, r, p }.check().is_err(), "{n} {r} {p}");
        }
        for (n, r, p) in [(2, 1, 1), (1 << 15, 8, 32), (1 << 17, 8, 1), (1 << 20, 8, 1), (1 << 10, 8, 16)] {
            assert!(KdfParams { n, r, p }.check().is_ok(), "{n} {r} {p}");
        }
    }

    #[test]
    fn several_lanes_give_what_the_standard_says() {
        let mut output = [0; 64];
        // RFC 7914, section 12: N=1024, r=8, p=16.
        let params = scrypt::Params::new(10, 8, 16).unwrap();
        scrypt::scrypt(b"password", b"NaCl", &params, &mut output).unwrap();
        assert!(hex::encode(output).starts_with("fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"));
        let derived = KdfParams { n: 1 << 10, r: 8, p: 16 }.derive(b"password", b"NaCl").unwrap();
        assert!(derived.is_same(&MasterKey::from_bytes(&output)));
    }
}
