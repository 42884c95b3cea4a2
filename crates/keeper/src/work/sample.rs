//! A sample of files in which small and large, old and new ones come up, however few there are of a kind.
//!
//! Files are sorted into classes by size and by age, and so many of each are drawn, each file of a class with the same
//! chance. What would not fit into the room for drills is left out, and counted.

use rand::Rng;
use rand::seq::SliceRandom;
use repo::node::Node;

/// Files drawn of each class.
const OF_EACH: usize = 6;

/// The largest file that is drawn, in bytes.
const LARGEST: u64 = 256 << 20;

/// What all files drawn may have together, in bytes.
const ROOM: u64 = 1 << 30;

/// A day, in seconds.
const DAY: i64 = 86_400;

const SIZES: [u64; 3] = [4 << 10, 1 << 20, 32 << 20];
const AGES: [i64; 2] = [7 * DAY, 365 * DAY];
const CLASSES: usize = (SIZES.len() + 1) * (AGES.len() + 1);

/// A file that was drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    /// Absolute path in the snapshot.
    pub(super) path: Vec<u8>,
    pub(super) node: Node,
}

/// Draws while files pass by.
pub(super) struct Sample {
    /// When the snapshot was made, in seconds since 1970.
    made: i64,
    classes: [Class; CLASSES],
    /// All files that passed.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Files that are too large to be drawn.
    pub(super) too_large: u64,
}

#[derive(Default)]
struct Class {
    seen: u64,
    drawn: Vec<Drawn>,
}

impl Sample {
    pub(super) fn new(made: i64) -> Sample {
        Sample { made, classes: Default::default(), files: 0, bytes: 0, too_large: 0 }
    }

    /// A file passes.
    pub(super) fn see(&mut self, path: &[u8], node: &Node, rng: &mut impl Rng) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(node.size);
        if node.size > LARGEST {
            self.too_large += 1;
            return;
        }
        let class = &mut self.classes[class(node.size, self.made.saturating_sub(node.mtime.seconds))];
        class.seen += 1;
        if class.drawn.len() < OF_EACH {
            class.drawn.push(Drawn { path: path.to_vec(), node: node.clone() });
        } else if let Some(place) = class.drawn.get_mut(rng.random_range(0..class.seen) as usize) {
            *place = Drawn { path: path.to_vec(), node: node.clone() };
        }
    }

    /// What was drawn, as much as there is room for.
    pub(super) fn drawn(&mut self, rng: &mut impl Rng) -> Vec<Drawn> {
        let mut all: Vec<Drawn> = self.classes.iter_mut().flat_map(|class| std::mem::take(&mut class.drawn)).collect();
        all.shuffle(rng);
        let mut left = ROOM;
        all.retain(|drawn| {
            let fits = drawn.node.size <= left;
            left -= if fits { drawn.node.size } else { 0 };
            fits
        });
        all
    }
}

fn class(size: u64, age: i64) -> usize {
    let size = SIZES.iter().filter(|limit| size > **limit).count();
    let age = AGES.iter().filter(|limit| age > **limit).count();
    age * (SIZES.len() + 1) + size
}

#[cfg(test)]
mod tests {
    use repo::node::NodeKind;

    use super::*;

    fn file(size: u64, seconds: i64) -> Node {
        let mut node = Node::new("x", NodeKind::File);
        node.size = size;
        node.mtime.seconds = seconds;
        node
    }

    #[test]
    fn the_one_large_old_file_among_thousands_of_small_new_ones_is_drawn_every_time() {
        let mut rng = rand::rng();
        for _ in 0..50 {
            let mut sample = Sample::new(1_000 * DAY);
            for number in 0..5_000 {
                sample.see(format!("/{number}").as_bytes(), &file(100, 999 * DAY), &mut rng);
            }
            sample.see(b"/large", &file(100 << 20, 0), &mut rng);
            let drawn = sample.drawn(&mut rng);
            assert_eq!(drawn.len(), OF_EACH + 1);
            assert!(drawn.iter().any(|drawn| drawn.path == b"/large"));
        }
    }

    #[test]
    fn every_file_of_a_class_has_the_same_chance() {
        let mut rng = rand::rng();
        let mut times = [0_u32; 60];
        for _ in 0..2_000 {
            let mut sample = Sample::new(0);
            (0..60).for_each(|number: u32| sample.see(&number.to_be_bytes(), &file(1, 0), &mut rng));
            for drawn in sample.drawn(&mut rng) {
                times[u32::from_be_bytes(drawn.path.try_into().unwrap()) as usize] += 1;
            }
        }
        // 200 are expected of each, with a deviation of 13.
        assert!(times.iter().all(|times| (100..=300).contains(times)), "{times:?}");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let mut rng = rand::rng();
        let mut sample = Sample::new(0);
        (0..6).for_each(|_| sample.see(b"/a", &file(LARGEST, 0), &mut rng));
        sample.see(b"/b", &file(LARGEST + 1, 0), &mut rng);
        assert_eq!((sample.files, sample.too_large), (7, 1));
        assert_eq!(sample.drawn(&mut rng).len(), 4);
    }
}
