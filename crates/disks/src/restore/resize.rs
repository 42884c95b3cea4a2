//! Making file systems larger or smaller, by the system's own programs.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use platform::LoopOver;

use super::RestoreError;
use super::part::{Change, Part, Tool};
use crate::used::Kind;

/// Mounts a file system where nobody else sees it, changes its size, and is gone with the namespace whatever happens.
const WHILE_MOUNTED: &str = r#"
folder=/mnt; [ -d /mnt ] || folder=/tmp
mount -t "$1" -o "$2" "$3" "$folder" || exit 1
case "$1" in
xfs) xfs_growfs -d "$folder" ;;
btrfs) btrfs filesystem resize "$4" "$folder" ;;
esac
done=$?
umount "$folder" || exit 1
# It would be taken for another btrfs of the same UUID later.
[ "$1" = btrfs ] && btrfs device scan --forget "$3"
exit $done
"#;

/// True if a program can be started. All that are asked for say something harmless and end.
pub(super) fn has_program(name: &str) -> bool {
    let mut command = Command::new(name);
    let tried = command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    !matches!(tried, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Makes what is on a part larger, or makes it again, as the plan says. Returns what was done in words.
pub(super) fn grow(part: &Part, disk: &File, sector: u32) -> Result<Option<String>, RestoreError> {
    let tool = match part.change {
        Change::Grow { tool } | Change::Remake { tool } => tool,
        _ => return Ok(None),
    };
    let place = part.to.start..part.to.start + part.to.size;
    let device = LoopOver::new(disk, place, sector).map_err(|error| no_device(part, &error))?;
    change(part, tool, device.path(), part.to.size)?;
    device.sync().map_err(|error| no_device(part, &error))?;
    Ok(Some(format!("{}: {tool}, {} bytes", part.called(), part.to.size)))
}

/// Makes what is in a file of its own smaller.
pub(super) fn shrink(part: &Part, tool: Tool, file: &File) -> Result<(), RestoreError> {
    if tool.needs_device() {
        let device = LoopOver::new(file, 0..part.from.size, 512).map_err(|error| no_device(part, &error))?;
        change(part, tool, device.path(), part.to.size)?;
        return device.sync().map_err(|error| no_device(part, &error));
    }
    use std::os::fd::AsRawFd;
    // It has no name of its own, so that nothing is left of it.
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    change(part, tool, Path::new(&path), part.to.size)
}

fn no_device(part: &Part, error: &io::Error) -> RestoreError {
    RestoreError::Resize { part: part.called(), said: format!("no loop device for it: {error}") }
}

fn change(part: &Part, tool: Tool, path: &Path, size: u64) -> Result<(), RestoreError> {
    let path = path.to_string_lossy();
    let path = &*path;
    let run = |program: &str, args: &[&str], good: &[i32]| {
        run(program, args, good).map_err(|said| RestoreError::Resize { part: part.called(), said })
    };
    match tool {
        Tool::Resize2fs => {
            // 1: it found something and put it right.
            run("e2fsck", &["-f", "-p", path], &[0, 1])?;
            let sectors = format!("{}s", size / 512);
            if size > part.from.size {
                return run("resize2fs", &[path, &sectors], &[0]);
            }
            // Its own estimate of what is needed at least is much too careful; what does not work fails in scratch only.
            run("resize2fs", &["-f", path, &sectors], &[0])?;
            run("e2fsck", &["-f", "-n", path], &[0])
        }
        Tool::Ntfsresize => {
            run("ntfsresize", &["-f", "-f", "--no-progress-bar", "--size", &size.to_string(), path], &[0])
        }
        Tool::XfsGrowfs => run_mounted(&run, &["xfs", "nouuid", path, ""]),
        Tool::BtrfsResize => run_mounted(&run, &["btrfs", "defaults", path, &size.to_string()]),
        Tool::Mkswap => {
            let mut args = Vec::new();
            args.extend(part.label.as_ref().into_iter().flat_map(|label| ["--label", label]));
            args.extend(
                part.uuid.as_ref().filter(|_| part.kind == Kind::Swap).into_iter().flat_map(|id| ["--uuid", id]),
            );
            args.push(path);
            run("mkswap", &args, &[0])
        }
    }
}

type Runner<'r> = dyn Fn(&str, &[&str], &[i32]) -> Result<(), RestoreError> + 'r;

fn run_mounted(run: &Runner<'_>, words: &[&str]) -> Result<(), RestoreError> {
    let script = ["--mount", "--propagation", "private", "sh", "-c", WHILE_MOUNTED, "sh"];
    run("unshare", &[&script[..], words].concat(), &[0])
}

/// Runs a program in English with nothing on standard input; what it said, if it ends otherwise than well.
fn run(program: &str, args: &[&str], good: &[i32]) -> Result<(), String> {
    let output = Command::new(program).args(args).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.code().is_some_and(|code| good.contains(&code)) {
        return Ok(());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let said = [text(&output.stderr), text(&output.stdout)].join("\n");
    let last: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).take(8).collect();
    Err(format!("{program} failed ({}): {}", output.status, last.join("; ")))
}
