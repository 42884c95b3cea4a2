//! What a mounted filesystem says is free, against its own tools after it was frozen.

use std::fs::File;

use platform::free_ranges;
use stead_disks::Extents;
use stead_disks::used::Taken;
use testkit::loop_device::{LoopDevice, Mounted, is_root_or_skip, succeeds};

use crate::subject::{MIB, Subject, contents, use_for_real};

fn free(folder: &File) -> Extents {
    let mut free = Extents::new();
    free_ranges(folder, |range| free.insert(range)).unwrap();
    free
}

#[test]
fn a_mounted_filesystem_tells_what_is_free_and_so_does_a_frozen_one() {
    if !is_root_or_skip() {
        return;
    }
    for mkfs in ["mkfs.ext4 -q -F", "mkfs.ext4 -q -F -b1024", "mkfs.ext4 -q -F -O bigalloc", "mkfs.xfs -q -f"] {
        println!("{mkfs}");
        let subject = Subject::made(400 * MIB, &mkfs.split(' ').collect::<Vec<_>>());
        let copy = Subject::empty(0);
        let device = LoopDevice::attach(&subject.image());
        let mounted = Mounted::new(device.name(), &subject.folder.path().join("mnt"));
        use_for_real(mounted.folder(), 60 * MIB);
        let folder = File::open(mounted.folder()).unwrap();
        assert!(free(&folder).bytes() > 200 * MIB);
        let name = mounted.folder().to_str().unwrap().to_owned();
        succeeds("fsfreeze", &["--freeze", &name]);
        let frozen = std::panic::catch_unwind(|| free(&folder));
        let copied = std::fs::copy(subject.image(), copy.image());
        succeeds("fsfreeze", &["--unfreeze", &name]);
        copied.unwrap();
        let frozen = frozen.unwrap();
        let before = contents(mounted.folder());
        drop((folder, mounted, device));

        let parsed = copy.usage_taken(Taken::Frozen);
        assert_eq!(parsed.warnings, Vec::<String>::new());
        let wrongly_free: Vec<_> = frozen.iter().filter(|range| !parsed.free.covers(range.clone())).collect();
        assert!(wrongly_free.is_empty(), "{wrongly_free:?}");
        assert!(parsed.free.bytes() - frozen.bytes() < MIB, "{} of {}", frozen.bytes(), parsed.free.bytes());
        copy.spoil(&frozen);
        assert_eq!(copy.mounted(&[], contents), before);
    }
}
