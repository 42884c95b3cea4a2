//! The drive, whole: a partner of another firm starts an image of a laptop's disk that is in use; the network is cut, comes
//! back with another address, is slow, the agent is stopped and goes on, the battery runs low. The owner and the partner see
//! the same percentage all along, it ends complete, the keeper has looked into it, and little was sent twice.

#![allow(clippy::print_stderr, reason = "whoever was there tells what it knows when the story fails")]

#[path = "../agent/desktop.rs"]
#[allow(dead_code, reason = "sleep is a story of the agent alone")]
mod desktop;
mod disk;
mod house;
mod journey;
mod laptop;
mod road;
mod viewers;

use std::time::{Duration, Instant};

use fleet::{Drill, Run, Verdict};
use jiff::{SignedDuration, Timestamp};

use desktop::{AT_HOME, Says};
use journey::{Drive, SLOW, WIRELESS, ended, until};

/// The drive; the agent is stopped for so long.
#[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
fn drive(story: &str, stopped: Duration) {
    let Some(mut drive) = Drive::prepared(story) else { return };
    let first = drive.disk.number();
    let tonight = drive.house.grants(drive.machine(), Timestamp::now() + SignedDuration::from_hours(8));
    begins(&mut drive);
    let moving = drive.look("1-at-home", 21);
    let cut = loses_its_network(&mut drive, moving);
    let slow = goes_another_way(&mut drive, cut);
    let woken = sleeps(&mut drive, slow, stopped);
    runs_low(&mut drive, woken);
    let run = arrives(&mut drive);
    let last = drive.disk.number();
    println!("{story}: {} read, {} new", run.progress.amount.total, run.progress.amount.new);
    is_verified(&mut drive);
    little_was_sent_twice(&drive, story);
    comes_back_as_it_was(&mut drive, (first, last));
    the_grant_ends(&mut drive, tonight);
}

/// Both open the page; the partner, who may by a grant, presses the button.
fn begins(drive: &mut Drive) {
    let (owner, partner) = drive.house.links();
    let page = format!("{}/machines/{}", drive.house.address(), drive.machine());
    drive.viewers.enters("owner", &owner, &page);
    drive.viewers.enters("partner", &partner, &page);
    drive.viewers.presses("partner", "Back up now");
    until("the beginning of the run", || drive.run());
    drive.until_beyond(20);
}

/// The car leaves: no link, no address.
fn loses_its_network(drive: &mut Drive, before: u64) -> u64 {
    drive.home.cut();
    drive.until_words("waiting for network since");
    assert!(drive.laptop.status().contains("nothing lost"), "{}", drive.laptop.status());
    drive.look("2-no-network", before)
}

/// Another network, with another address, and slow.
fn goes_another_way(drive: &mut Drive, before: u64) -> u64 {
    drive.away.limit(SLOW);
    drive.away.open();
    drive.until_beyond(before + 2);
    let (begin, count) = (Instant::now(), drive.away.received());
    std::thread::sleep(Duration::from_secs(3));
    let rate = (drive.away.received() - count) as f64 / begin.elapsed().as_secs_f64();
    assert!(rate < SLOW as f64 * 1.2, "{rate} bytes in a second");
    drive.look("3-elsewhere-and-slow", before + 3)
}

/// Nothing of the agent moves, and both see where it is.
fn sleeps(drive: &mut Drive, before: u64, stopped: Duration) -> u64 {
    drive.laptop.stops();
    let silent = drive.until_silent();
    let at = drive.look("4-stopped", silent.max(before));
    let end = Instant::now() + stopped;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::sleep(left.min(Duration::from_secs(20)));
        assert_eq!(drive.look("5-still-stopped", at), at, "it goes nowhere");
    }
    drive.laptop.goes_on();
    drive.until_beyond(at + 1);
    drive.look("6-goes-on", at + 2)
}

/// Below the floor of its policy, the battery is for the one who drives.
fn runs_low(drive: &mut Drive, before: u64) {
    drive.desktop.says(Says { on_battery: true, percent: 22.0, ..AT_HOME });
    until("the server's word of it", || {
        drive.run().filter(|run| run.progress.words(&fleet::Zone::utc()).contains("waiting for mains power since"))
    });
    let at = drive.look("7-on-battery", before);
    until("a quiet road", || {
        let count = drive.away.received();
        std::thread::sleep(Duration::from_secs(2));
        (drive.away.received() - count < 64 << 10).then_some(())
    });
    let seen = drive.viewers.look("8-still-on-battery", Some(at));
    assert!(seen.words.contains("waiting for mains power since") && seen.words.contains("nothing lost"), "{seen:?}");
    drive.desktop.says(AT_HOME);
}

/// Mains, and a network as at home.
fn arrives(drive: &mut Drive) -> Run {
    drive.away.limit(WIRELESS);
    let run = ended(&drive.house, drive.machine());
    let amount = run.progress.amount;
    assert!(amount.done > 192 << 20 && amount.new > 192 << 20, "what it read is told with its end: {amount:?}");
    run
}

/// The keeper has looked into the image by itself, and both see that.
fn is_verified(drive: &mut Drive) {
    let drill = until("a drill", || drive.house.drills(drive.machine()).into_iter().next());
    assert_eq!((drill.kind, &drill.verdict), (Drill::ImageCheck, &Verdict::Good), "{}", drill.evidence);
    assert!(drill.evidence.contains("ext") && drill.evidence.contains("1 partition"), "{}", drill.evidence);
    drive.viewers.reload();
    let seen = drive.viewers.look("9-verified", None);
    assert!(seen.page.contains("file systems looked through") && seen.page.contains("good: "), "{}", seen.page);
}

#[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
fn little_was_sent_twice(drive: &Drive, story: &str) {
    let (sent, (stored, needed)) = (drive.received(), drive.laptop.stored(&drive.house, &drive.restic));
    let apart = sent - (stored - needed);
    let ratio = apart as f64 / drive.undisturbed as f64;
    let again = stored - needed;
    println!("{story}: {sent} bytes on the wire, {again} of them written again while they were read");
    println!("{story}: apart from these {apart}, undisturbed {}: {ratio:.3}", drive.undisturbed);
    assert!(ratio <= 1.05, "{ratio}");
}

fn comes_back_as_it_was(drive: &mut Drive, numbers: (u64, u64)) {
    let original = drive.disk.rests();
    let name = drive.disk.short_name().to_owned();
    let image = drive.laptop.restores(&drive.house, &name);
    disk::is_as_it_was(&image, &drive.room.path().join("copy"), numbers, &original);
}

/// The grant until tonight becomes one of some seconds; after its end the partner sees nothing, and the owner all.
fn the_grant_ends(drive: &mut Drive, tonight: continuity::GrantId) {
    drive.house.grants(drive.machine(), Timestamp::now() + SignedDuration::from_secs(15));
    drive.house.ends(tonight);
    assert!(drive.viewers.look("10-the-last-seconds", None).page.contains("good: "), "the second grant still holds");
    let (status, page) = drive.viewers.loses("partner");
    assert_eq!(status, 404, "{page}");
    assert!(!page.contains("laptop") && !page.contains("Bakery"), "{page}");
}

#[test]
fn two_people_see_the_same_percentage_of_a_disk_that_is_imaged_on_the_road() {
    drive("drive", Duration::from_secs(15));
}

#[test]
#[ignore = "takes minutes: cargo xtask test --all"]
fn the_same_with_an_agent_that_is_stopped_for_ten_minutes() {
    drive("long-drive", Duration::from_secs(600));
}
