//! The disk on which the server keeps everything is full.

use std::path::Path;
use std::process::Command;

use fleet::{JobKind, Outcome, RunState, State};
use tempfile::TempDir;

use crate::firm::Firm;
use crate::part::until;

/// A disk in memory that can grow.
struct SmallDisk<'p>(&'p Path);

impl SmallDisk<'_> {
    fn mount<'p>(at: &'p Path, size: &str) -> Option<SmallDisk<'p>> {
        std::fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(at));
        }
        testkit::peer::skip("a small tmpfs cannot be mounted; run as root");
        None
    }

    fn grow(&self, size: &str) {
        let mut mount = Command::new("mount");
        let grown = mount.args(["-o", &format!("remount,size={size}")]).arg(self.0).status().expect("it runs");
        assert!(grown.success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_what_waits_for_it_goes_on_when_there_is_space() {
    let room = TempDir::new().expect("room");
    let data = room.path().join("data");
    let at = data.clone();
    let Some(disk) = SmallDisk::mount(&at, "96m") else { return };
    let mut firm = Firm::at(room, data, None);
    firm.gets_a_machine(firm.port);
    firm.machines[0].gets("large.bin", 1, 150 << 20);
    firm.machines[0].agent.start();
    let machine = firm.machines[0].id;
    let failed = firm.orders_all();
    firm.until_done(&failed);
    let run = &firm.runs(machine)[0].run;
    let RunState::Ended { outcome: Outcome::Failed { why }, .. } = &run.state else { panic!("{run:?}") };
    assert!(why.contains("nearly full"), "{why}");
    until("somebody is told", || {
        let told = firm.hook.told();
        told.iter().any(|told| told.body["data"]["sentence"].as_str().unwrap().contains("nearly full")).then_some(())
    });
    assert!(firm.up.runs(), "{}", firm.up.log());

    disk.grow("600m");
    let good = firm.orders_all();
    firm.until_done(&good);
    firm.until_tended();
    firm.each_job_has_one_run();
    let backups = firm.runs(machine).into_iter().filter(|row| row.run.kind == JobKind::Backup);
    assert_eq!(backups.map(|row| row.run.state()).collect::<Vec<_>>(), [State::Good, State::Failed]);
    firm.all_that_was_told_is_there();
    firm.the_audit_log_is_whole();
    firm.messages_came_once(0);
    let restored = firm.restored(machine);
    testkit::Picture::of(&firm.machines[0].work()).assert_same(&testkit::Picture::of(&restored));
}
