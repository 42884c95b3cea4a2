//! Files out of an image with `stead disk ls`, `cp` and `cat`, without restoring it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::bench::succeeded;
use testkit::loop_device::succeeds;
use testkit::{Bench, Peer, sample};

const MIB: u64 = 1 << 20;

/// A repository with the image of a disk `office` of four partitions: ext4, NTFS, FAT32, XFS.
struct Image {
    bench: Bench,
}

/// Where the partitions lie, in MiB: begin and size.
const PARTITIONS: [(u64, u64); 4] = [(1, 64), (66, 24), (92, 40), (134, 300)];

impl Image {
    fn new() -> Image {
        let image = Image { bench: Bench::new(env!("CARGO_BIN_EXE_stead")) };
        image.furnish();
        image.make_disk();
        image.bench.says(&["disk", "backup", &image.bench.path("office")]);
        image
    }

    fn furnish(&self) {
        let folder = self.bench.at("folder");
        fs::create_dir(&folder).expect("a folder");
        sample::office(&folder, 1, 30);
        fs::write(folder.join("large"), sample::random_bytes(5, 6 * MIB as usize)).expect("a file");
        fs::create_dir_all(folder.join("one/two/three")).expect("folders");
        fs::write(folder.join("one/two/three/file"), "deep\n").expect("a file");
        symlink("three/file", folder.join("one/two/link")).expect("a link");
        let hole = fs::File::create(folder.join("one/hole")).expect("a file");
        hole.set_len(20 * MIB).expect("its size");
        fs::set_permissions(folder.join("one/two"), fs::Permissions::from_mode(0o750)).expect("a mode");
        succeeds(
            "touch",
            &["-d", "2020-02-03T04:05:06Z", self.bench.at("folder/one/two/three/file").to_str().unwrap()],
        );
        succeeds("touch", &["-d", "2019-01-02T03:04:05Z", self.bench.at("folder/one/two").to_str().unwrap()]);
    }

    fn make_disk(&self) {
        let disk = self.bench.at("office");
        fs::File::create(&disk).expect("a disk").set_len(440 * MIB).expect("its size");
        let mut script = "label: gpt\n".to_owned();
        for ((begin, size), name) in PARTITIONS.iter().zip(["system", "windows", "boot", "data"]) {
            script.push_str(&format!("start={}, size={}, name={name}\n", begin * 2048, size * 2048));
        }
        let mut sfdisk = Command::new("sfdisk").arg("--quiet").arg(&disk).stdin(Stdio::piped()).spawn().expect("runs");
        sfdisk.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("written");
        assert!(sfdisk.wait().expect("ends").success());
        let folder = self.bench.path("folder");
        let file = self.bench.path("folder/large");
        self.make_partition(0, &["mkfs.ext4", "-q", "-F", "-L", "root", "-d", &folder], |_| {});
        self.make_partition(1, &["mkntfs", "-F", "-Q", "-q", "-L", "Windows"], |volume| {
            succeeds("ntfscp", &[volume, &file, "Large.bin"]);
        });
        self.make_partition(2, &["mkfs.fat", "-F32", "-s1"], |volume| {
            succeeds("mcopy", &["-i", volume, &file, "::large file.bin"]);
        });
        self.make_partition(3, &["mkfs.xfs", "-q", "-f"], |_| {});
    }

    /// Makes a filesystem in a file of its own and puts it into its place.
    fn make_partition(&self, number: usize, words: &[&str], fill: impl Fn(&str)) {
        let (begin, size) = PARTITIONS[number];
        let (volume, disk) = (self.bench.path("volume"), self.bench.path("office"));
        fs::File::create(&volume).expect("a file").set_len(size * MIB).expect("its size");
        succeeds(words[0], &[&words[1..], &[&volume]].concat());
        fill(&volume);
        let words = [format!("if={volume}"), format!("of={disk}"), format!("seek={begin}")];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        succeeds("dd", &[&words[..], &["bs=1M", "conv=notrunc,sparse", "status=none"]].concat());
        fs::remove_file(&volume).expect("removed");
    }
}

/// Bytes that a command prints.
fn printed(bench: &Bench, words: &[&str]) -> Vec<u8> {
    let output = bench.run(words);
    succeeded(&output);
    output.stdout
}

/// Tools that make the disk.
fn has_tools() -> bool {
    ["sfdisk", "mkfs.ext4", "mkntfs", "mcopy", "mkfs.xfs"].iter().all(|tool| Peer::find(tool).is_some())
}

#[test]
fn an_image_is_looked_at_and_files_are_taken_out_of_it() {
    if !has_tools() {
        return;
    }
    let image = Image::new();
    lists_partitions(&image);
    lists_files(&image);
    prints_files(&image);
    copies_directories(&image);
    refuses_in_words(&image);
    says_what_to_do_instead(&image);
}

fn lists_partitions(image: &Image) {
    let listed = image.bench.messages(&["disk", "ls", "latest"]);
    let kinds: Vec<&str> = listed.iter().map(|volume| volume["file_system"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ext4", "ntfs", "fat32", "xfs"]);
    assert_eq!((&listed[0]["label"], &listed[0]["name"]), (&"root".into(), &"system".into()));
    assert_eq!((&listed[1]["label"], &listed[1]["start"]), (&"Windows".into(), &(66 * MIB).into()));
    let said = image.bench.says(&["disk", "ls", "latest:office"]);
    assert!(said.contains(":office/1") && said.contains("XFS") && said.contains("24.000 MiB"), "{said}");
}

fn lists_files(image: &Image) {
    let said = image.bench.says(&["disk", "ls", "latest:office/1/one"]);
    assert_eq!(said, "/one/hole\n/one/two\n");
    let all = image.bench.says(&["disk", "ls", "latest:office/1/one", "--recursive"]);
    assert_eq!(all, "/one/hole\n/one/two\n/one/two/link\n/one/two/three\n/one/two/three/file\n");
    let said = image.bench.says(&["disk", "ls", "latest:office/1/one/two", "--long"]);
    assert!(said.contains("Lrwxrwxrwx") && said.contains("/one/two/link -> three/file"), "{said}");
    let file = &image.bench.messages(&["disk", "ls", "latest:office/1/one/two/three/file"])[0];
    assert_eq!(
        (&file["size"], &file["mtime"], &file["type"]),
        (&5.into(), &"2020-02-03T04:05:06Z".into(), &"file".into())
    );
    assert_eq!((&file["path"], &file["message_type"]), (&"/one/two/three/file".into(), &"node".into()));
    // The same members as `stead ls --json` has.
    image.bench.says(&["backup", &image.bench.path("folder/one")]);
    let theirs = image.bench.messages(&["ls", "latest"]);
    let theirs = theirs.iter().find(|node| node["name"] == "file").expect("the file");
    for member in theirs.as_object().unwrap().keys().filter(|member| *member != "inode") {
        assert!(file.get(member).is_some(), "{member}");
    }
    assert_eq!(image.bench.says(&["disk", "ls", "latest:office/2"]), "/Large.bin\n");
    assert_eq!(image.bench.says(&["disk", "ls", "latest:office/3/"]), "/large file.bin\n");
}

fn prints_files(image: &Image) {
    let large = sample::random_bytes(5, 6 * MIB as usize);
    for place in ["1/large", "2/large.BIN", "3/Large File.bin"] {
        assert!(printed(&image.bench, &["disk", "cat", &format!("latest:office/{place}")]) == large, "{place}");
    }
    assert_eq!(image.bench.says(&["disk", "cat", "latest:office/1/one/two/three/file"]), "deep\n");
}

fn copies_directories(image: &Image) {
    let target = image.bench.path("taken");
    let said = image.bench.says(&["disk", "cp", "latest:office/1/one", &target]);
    assert!(said.contains("copied 6 files, links and directories"), "{said}");
    assert_eq!(fs::read(image.bench.at("taken/two/three/file")).unwrap(), b"deep\n");
    assert_eq!(fs::read_link(image.bench.at("taken/two/link")).unwrap(), Path::new("three/file"));
    let (file, folder) =
        (fs::metadata(image.bench.at("taken/two/three/file")), fs::metadata(image.bench.at("taken/two")));
    let (file, folder) = (file.unwrap(), folder.unwrap());
    assert_eq!((file.mtime(), folder.mtime(), folder.mode() & 0o777), (1_580_702_706, 1_546_398_245, 0o750));
    let hole = fs::metadata(image.bench.at("taken/hole")).unwrap();
    assert!(hole.len() == 20 * MIB && hole.blocks() < 100, "{} blocks", hole.blocks());

    // Into a directory that is there, under its own name; a file beside it; nothing is overwritten.
    image.bench.says(&["disk", "cp", "latest:office/1/one/two", &format!("{target}/three")]);
    fs::write(image.bench.at("taken/two/three/file"), "changed").unwrap();
    let said = image.bench.refuses(&["disk", "cp", "latest:office/1/one/two", &target]);
    assert!(said.contains("two/three/file was not copied: it is there already"), "{said}");
    assert_eq!(fs::read(image.bench.at("taken/two/three/file")).unwrap(), b"changed");
    image.bench.says(&["disk", "cp", "latest:office/1/one/two", &target, "--force"]);
    assert_eq!(fs::read(image.bench.at("taken/two/three/file")).unwrap(), b"deep\n");

    // A link in the target leads nowhere.
    fs::create_dir(image.bench.at("outside")).unwrap();
    fs::create_dir(image.bench.at("trap")).unwrap();
    symlink(image.bench.at("outside"), image.bench.at("trap/one")).unwrap();
    let said = image.bench.refuses(&["disk", "cp", "latest:office/1/one", &image.bench.path("trap"), "--force"]);
    assert!(said.contains("something else stands in the directory's place"), "{said}");
    assert_eq!(fs::read_dir(image.bench.at("outside")).unwrap().count(), 0);

    image.bench.says(&["disk", "cp", "latest:office/2/", &image.bench.path("windows")]);
    assert!(fs::read(image.bench.at("windows/Large.bin")).unwrap() == sample::random_bytes(5, 6 * MIB as usize));
}

fn refuses_in_words(image: &Image) {
    assert!(image.bench.refuses(&["disk", "cat", "latest:office/1/nothing"]).contains("there is no /nothing"));
    assert!(image.bench.refuses(&["disk", "cat", "latest:office/1/one"]).contains("it is a directory"));
    assert!(
        image.bench.refuses(&["disk", "cat", "latest:office/1/one/two/link"]).contains("it is a link to three/file")
    );
    assert!(image.bench.refuses(&["disk", "ls", "latest:office/9/"]).contains("has no partition 9; it has 1, 2, 3, 4"));
    assert!(image.bench.refuses(&["disk", "ls", "latest:office/etc"]).contains("no number of a partition"));
    assert!(image.bench.refuses(&["disk", "ls", "latest:other"]).contains("no snapshot holds a disk image of other"));
    assert!(image.bench.refuses(&["disk", "ls", "latest:office/1/large/below"]).contains("/large is no directory"));
    let said = image.bench.refuses(&["disk", "cp", "latest:office/1/large", &image.bench.path("no/where")]);
    assert!(said.contains("No such file"), "{said}");
}

fn says_what_to_do_instead(image: &Image) {
    let said = image.bench.refuses(&["disk", "ls", "latest:office/4"]);
    assert!(said.contains("it holds XFS") && said.contains("stead disk restore latest:office disk.raw"), "{said}");
    let (start, size) = (134 * MIB, 300 * MIB);
    let mount = format!("mount -o loop,ro,norecovery,nouuid,offset={start},sizelimit={size} disk.raw /mnt");
    assert!(said.contains(&mount), "{said}");
    if !testkit::loop_device::is_root_or_skip() {
        return;
    }
    // The advice works.
    image.bench.says(&["disk", "restore", "latest:office", &image.bench.path("disk.raw")]);
    fs::create_dir(image.bench.at("mnt")).unwrap();
    let options = format!("loop,ro,norecovery,nouuid,offset={start},sizelimit={size}");
    succeeds("mount", &["-o", &options, &image.bench.path("disk.raw"), &image.bench.path("mnt")]);
    succeeds("umount", &[&image.bench.path("mnt")]);
}
