//! Parts of a snapshot taken by themselves: the same bytes as in the whole.

use std::path::{Path, PathBuf};

use testkit::{Picture, Shop, sample};

const STEAD: &str = env!("CARGO_BIN_EXE_stead");

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let below = |entry: std::fs::DirEntry| match entry.file_type().expect("a type") {
        kind if kind.is_dir() => files_below(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => Vec::new(),
    };
    entries.flat_map(below).collect()
}

/// F36: bupstash's `pick` returned pieces of other files. Here every file is dumped by itself, and every third restored by
/// itself; files share blobs, packs and names.
#[test]
fn every_file_taken_alone_is_the_same_as_in_the_whole() {
    let Some(mut shop) = Shop::open(STEAD) else { return };
    sample::office(&shop.work(), 7, 45);
    let large = sample::random_bytes(1, 6 << 20);
    for (name, content) in [("large", &large[..]), ("its head", &large[..3 << 20]), ("its tail", &large[3 << 20..])] {
        std::fs::write(shop.work().join(name), content).expect("a file");
    }
    let mut backup = shop.backup();
    shop.succeeds(&mut backup);
    let (all, target) = (files_below(&shop.work()), shop.room().join("alone"));
    assert!(all.len() > 45);
    for (number, path) in all.iter().enumerate() {
        let (name, expected) = (path.to_str().expect("UTF-8"), std::fs::read(path).expect("a file"));
        let mut dump = shop.stead(["dump", "latest", name]);
        assert!(shop.succeeds(&mut dump).stdout == expected, "{name}");
        if number % 3 == 0 {
            let mut restore =
                shop.stead(["restore", "latest", "--include", name, "--target", target.to_str().expect("UTF-8")]);
            shop.succeeds(&mut restore);
            let restored = files_below(&target);
            assert_eq!(restored, [target.join(name.trim_start_matches('/'))]);
            assert!(std::fs::read(&restored[0]).expect("a file") == expected, "{name}");
            std::fs::remove_dir_all(&target).expect("a folder");
        }
    }
    let folder = shop.work().join("client-3");
    let below = format!("latest:{}", folder.display());
    let mut restore = shop.stead(["restore", &below, "--target", target.to_str().expect("UTF-8")]);
    shop.succeeds(&mut restore);
    Picture::of(&folder).assert_same(&Picture::of(&target));
}
