//! Service: the unit by which systemd starts an agent with the machine and starts it again when it ends.

use std::path::Path;

/// The unit's name.
pub const NAME: &str = "stead-agent.service";

/// Where units that people make are.
pub const FOLDER: &str = "/etc/systemd/system";

/// Where units of packages are.
pub const PACKAGED: &str = "/usr/lib/systemd/system";

/// The directory that a package's unit is for.
pub const USUAL: &str = "/var/lib/stead/agent";

/// The text of the unit for a program and the agent's directory.
pub fn unit(program: &Path, directory: &Path) -> String {
    let (program, directory) = (quoted(program), quoted(directory));
    format!(
        "[Unit]\n\
         Description=stead agent: backs this machine up\n\
         Documentation=https://github.com/stead/stead\n\
         Wants=network.target\n\
         After=network.target dbus.service\n\
         \n\
         [Service]\n\
         ExecStart={program} agent run --state {directory}\n\
         Restart=always\n\
         RestartSec=10\n\
         TimeoutStopSec=60\n\
         KillSignal=SIGTERM\n\
         Nice=10\n\
         IOSchedulingClass=idle\n\
         UMask=0077\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// A path as systemd takes it: in quotes, with its own signs doubled.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{}\"", text.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_that_systemd_reads_as_its_own_are_doubled() {
        let unit = unit(Path::new("/usr/bin/stead"), Path::new("/var/lib/50% \"me\" $HOME"));
        assert!(unit.contains(r#"--state "/var/lib/50%% \"me\" $$HOME""#), "{unit}");
    }
}
