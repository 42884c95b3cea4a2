//! Sets of blobs for many threads: exact for trees, 64-bit fingerprints for data.
//!
//! A fingerprint that two blobs share makes the set say "contained" of one that is not; whoever uses the set for data must
//! be safe with that. The fingerprint is keyed at random, so nobody can make blobs that share one. Whether a tree was
//! seen decides what is kept at all, so trees are exact.

use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::{BlobHandle, BlobKind, Id};

const SHARDS: usize = 64;

/// A random function from ids to 64 bits.
#[derive(Clone, Copy)]
struct Fingerprint([u64; 4]);

impl Fingerprint {
    fn random() -> Fingerprint {
        Fingerprint(rand::random())
    }

    /// Folded products of 64-bit words and secret ones: equal for two ids with chance 2^-64 or little more.
    fn of(&self, id: &Id) -> u64 {
        let word = |at: usize| u64::from_le_bytes(id.as_bytes()[at * 8..at * 8 + 8].try_into().expect("eight bytes"));
        let key = self.0;
        fold(word(0) ^ key[0], word(1) ^ key[1]).rotate_left(29) ^ fold(word(2) ^ key[2], word(3) ^ key[3])
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The upper bits choose the shard: the table uses the lower ones and the uppermost seven.
fn shard(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

/// An exact set of ids: about 40 bytes each.
pub(crate) struct IdSet {
    fingerprint: Fingerprint,
    shards: Vec<Mutex<HashTable<Id>>>,
}

impl Default for IdSet {
    fn default() -> IdSet {
        IdSet { fingerprint: Fingerprint::random(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl IdSet {
    /// Adds; true if it was not there.
    pub(crate) fn insert(&self, id: &Id) -> bool {
        let hash = self.fingerprint.of(id);
        let mut table = self.shards[shard(hash)].lock();
        if table.find(hash, |other| other == id).is_some() {
            return false;
        }
        table.insert_unique(hash, *id, |other| self.fingerprint.of(other));
        true
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        let hash = self.fingerprint.of(id);
        self.shards[shard(hash)].lock().find(hash, |other| other == id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// A set of fingerprints of data blobs: about 14 bytes each.
struct FingerprintSet {
    fingerprint: Fingerprint,
    shards: Vec<Mutex<HashTable<u64>>>,
}

impl FingerprintSet {
    fn new() -> FingerprintSet {
        FingerprintSet { fingerprint: Fingerprint::random(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn insert(&self, id: &Id) -> bool {
        let hash = self.fingerprint.of(id);
        let mut table = self.shards[shard(hash)].lock();
        if table.find(hash, |other| *other == hash).is_some() {
            return false;
        }
        table.insert_unique(hash, hash, |other| *other);
        true
    }

    fn contains(&self, id: &Id) -> bool {
        let hash = self.fingerprint.of(id);
        self.shards[shard(hash)].lock().find(hash, |other| *other == hash).is_some()
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// A set of blobs: trees exact, data by fingerprint.
pub(crate) struct BlobSet {
    trees: IdSet,
    data: FingerprintSet,
}

impl Default for BlobSet {
    fn default() -> BlobSet {
        BlobSet { trees: IdSet::default(), data: FingerprintSet::new() }
    }
}

impl BlobSet {
    /// Adds; true if it was not there.
    pub(crate) fn insert(&self, blob: &BlobHandle) -> bool {
        match blob.kind {
            BlobKind::Tree => self.trees.insert(&blob.id),
            BlobKind::Data => self.data.insert(&blob.id),
        }
    }

    pub(crate) fn contains(&self, blob: &BlobHandle) -> bool {
        match blob.kind {
            BlobKind::Tree => self.trees.contains(&blob.id),
            BlobKind::Data => self.data.contains(&blob.id),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.trees.len() + self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_what_was_put_in_and_nothing_else() {
        let set = BlobSet::default();
        let blob = |kind, number: u32| BlobHandle { kind, id: Id::of(&number.to_le_bytes()) };
        for number in 0..10_000 {
            assert!(set.insert(&blob(BlobKind::Data, number)));
            assert!(set.insert(&blob(BlobKind::Tree, number * 2)));
            assert!(!set.insert(&blob(BlobKind::Data, number)));
        }
        assert_eq!(set.len(), 20_000);
        assert!((0..10_000).all(|number| set.contains(&blob(BlobKind::Data, number))));
        assert!((10_000..20_000).all(|number| !set.contains(&blob(BlobKind::Data, number))));
        assert!(!set.contains(&blob(BlobKind::Tree, 1)));
    }
}
