//! Gate 3: killed anywhere, nothing that was ever reported as written is lost, and the next run succeeds without help.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use testkit::{Picture, Shop, sample};

const STEAD: &str = env!("CARGO_BIN_EXE_stead");

/// How many kills a loop does: enough in all for the suite's 200, more with `STEAD_KILLS`.
fn kills(share: u32) -> u32 {
    let all: u32 = std::env::var("STEAD_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    all * share / 100
}

#[expect(clippy::print_stderr, reason = "a seed must be seen to be used again")]
fn seed() -> u64 {
    let seed = std::env::var("STEAD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("STEAD_SEED={seed}");
    seed
}

fn open_shop() -> Option<(Shop, SmallRng)> {
    let mut shop = Shop::open(STEAD)?;
    sample::office(&shop.work(), 1, 120);
    let mut backup = shop.backup();
    shop.succeeds(&mut backup);
    Some((shop, SmallRng::seed_from_u64(seed())))
}

/// A moment within what the command takes when nobody kills it, with a preference for none in particular.
fn some_moment(random: &mut SmallRng, whole: Duration) -> Duration {
    whole.mul_f64(random.random_range(0.0..1.1))
}

/// F4: rustic left half a file under its final name when writing it failed. Here no kill leaves one: every name in the
/// repository is the hash of its file's content, whenever one looks.
/// F34: this needs no key, so that a server can verify what it stores.
#[test]
fn a_backup_killed_anywhere_loses_nothing_and_the_next_run_succeeds() {
    let Some((mut shop, mut random)) = open_shop() else { return };
    let mut killed = 0;
    let mut whole = Duration::from_millis(400);
    while killed < kills(40) {
        sample::a_day_of_work(&shop.work(), random.random(), 10);
        let mut backup = shop.backup();
        killed += u32::from(shop.kill_after(&mut backup, some_moment(&mut random, whole)));
        assert!(shop.every_name_is_true() > 3);
        let start = Instant::now();
        let mut backup = shop.backup();
        shop.succeeds(&mut backup);
        whole = (whole + start.elapsed()) / 2;
        keep_the_shop_small(&mut shop, killed);
    }
    shop.every_promise_is_kept();
}

#[test]
fn a_forget_and_prune_killed_anywhere_lose_nothing_that_was_kept() {
    let Some((mut shop, mut random)) = open_shop() else { return };
    let mut killed = 0;
    let mut whole = Duration::from_millis(400);
    while killed < kills(40) {
        sample::a_day_of_work(&shop.work(), random.random(), 4);
        let mut backup = shop.backup();
        shop.succeeds(&mut backup);
        let rule = ["forget", "--keep-last", "3", "--prune", "--max-unused", "0"];
        let mut forget = shop.stead(rule);
        killed += u32::from(shop.kill_after(&mut forget, some_moment(&mut random, whole)));
        shop.forgot_all_but(3);
        shop.every_name_is_true();
        if random.random_bool(0.3) {
            let start = Instant::now();
            let mut forget = shop.stead(rule);
            shop.succeeds(&mut forget);
            whole = (whole + start.elapsed()) / 2;
        }
        if killed % 10 == 0 {
            shop.every_promise_is_kept();
        }
    }
    shop.every_promise_is_kept();
}

#[test]
fn a_copy_killed_anywhere_ends_well_when_it_is_repeated() {
    let Some((mut shop, mut random)) = open_shop() else { return };
    let second = shop.room().join("second");
    let second = second.to_str().expect("UTF-8").to_owned();
    let password = shop.password_file();
    let to_second = |shop: &Shop, words: &[&str]| {
        let mut command = shop.stead(words.iter().copied());
        command
            .env("RESTIC_REPOSITORY", &second)
            .env("RESTIC_PASSWORD_FILE", &password)
            .env("RESTIC_FROM_REPOSITORY", shop.repository())
            .env("RESTIC_FROM_PASSWORD_FILE", &password);
        command
    };
    let mut init = to_second(&shop, &["init"]);
    shop.succeeds(&mut init);
    let mut killed = 0;
    while killed < kills(20) {
        sample::a_day_of_work(&shop.work(), random.random(), 6);
        let mut backup = shop.backup();
        shop.succeeds(&mut backup);
        let mut copy = to_second(&shop, &["copy"]);
        killed += u32::from(shop.kill_after(&mut copy, some_moment(&mut random, Duration::from_millis(900))));
    }
    let mut copy = to_second(&shop, &["copy"]);
    shop.succeeds(&mut copy);
    let mut check = to_second(&shop, &["check", "--read-data"]);
    shop.succeeds(&mut check);
    let copied = shop.restic(["-r", &second, "check", "--read-data"]).output().expect("runs");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    shop.every_promise_is_kept();
}

#[test]
fn a_restore_killed_anywhere_is_finished_by_the_next() {
    let Some((shop, mut random)) = open_shop() else { return };
    sample::awkward(&shop.work().join("awkward"));
    let mut shop = shop;
    let mut backup = shop.backup();
    shop.succeeds(&mut backup);
    let snapshot = format!("latest:{}", shop.work().display());
    let expected = Picture::of(&shop.work());
    let target = shop.room().join("restored");
    let words = ["restore", &snapshot, "--delete", "--target", target.to_str().expect("UTF-8")];
    let mut whole = Duration::from_millis(400);
    let mut killed = 0;
    while killed < kills(10) {
        match random.random_range(0..3) {
            // From nothing, from what the last one left, or from something that was worked on since.
            0 => _ = std::fs::remove_dir_all(&target),
            1 if target.exists() => sample::a_day_of_work(&target, random.random(), 3),
            _ => {}
        }
        for _ in 0..random.random_range(1..3) {
            let mut restore = shop.stead(words);
            killed += u32::from(shop.kill_after(&mut restore, some_moment(&mut random, whole)));
        }
        let start = Instant::now();
        let mut restore = shop.stead(words);
        shop.succeeds(&mut restore);
        whole = (whole + start.elapsed()) / 2;
        expected.assert_same(&Picture::of(&target));
    }
}

/// Old promises are checked and taken back now and then, or the loop would spend its time restoring.
fn keep_the_shop_small(shop: &mut Shop, killed: u32) {
    if shop.promises() > 12 || (killed > 0 && killed.is_multiple_of(40)) {
        shop.every_promise_is_kept();
        let mut forget = shop.stead(["forget", "--keep-last", "2", "--prune"]);
        shop.succeeds(&mut forget);
        shop.forgot_all_but(2);
    }
}
