//! A Debian root as debootstrap makes it, and programs that run in it: with mounts and processes of their own, on the
//! network of this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use testkit::{Peer, peer};

/// Mounts what a system has, and becomes the program.
const ENTER: &str = r#"
set -e
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"#;

/// What boots it is left away.
const UNPACK: [&str; 5] = ["--zstd", "--exclude=./boot/*", "--exclude=./usr/lib/modules/*", "--exclude=./dev/*", "-xf"];

/// The root; gone when dropped.
pub(crate) struct Root(TempDir);

impl Root {
    /// A fresh one; none (a skip) where it cannot be made.
    pub(crate) fn fresh() -> Option<Root> {
        let archive = peer::folder().parent().unwrap_or(Path::new("/")).join("debian-1.tar.zst");
        for tool in ["unshare", "chroot", "zstd"] {
            Peer::find(tool)?;
        }
        if !rustix::process::geteuid().is_root() || !archive.is_file() {
            peer::skip("a fresh root needs root and `cargo xtask setup`");
            return None;
        }
        let root = Root(TempDir::new().expect("room"));
        let unpacked = Command::new("tar").args(UNPACK).arg(archive).arg("-C").arg(root.path()).output();
        succeeded("unpack Debian", &unpacked.expect("tar runs"));
        // What debootstrap makes may be entered by its users; a temporary directory may not.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(root.path(), open).expect("permissions");
        Some(root)
    }

    /// With this build's program copied in.
    pub(crate) fn with_stead() -> Option<Root> {
        let root = Root::fresh()?;
        std::fs::copy(env!("CARGO_BIN_EXE_stead"), root.at("/usr/bin/stead")).expect("a copy");
        Some(root)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// What is a path in it, from here.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// A program in it; when we kill what this starts, everything ends that runs there.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            ENTER,
            "sh",
        ]);
        command.arg(self.path()).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("LC_ALL", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command
    }

    /// What a program there says, which must succeed.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("unshare runs");
        succeeded(&words.join(" "), &output);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[track_caller]
fn succeeded(what: &str, output: &Output) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}\n{}{}", output.status, said(&output.stdout), said(&output.stderr));
}
