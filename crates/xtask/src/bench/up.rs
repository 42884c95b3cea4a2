//! `stead up` from the command to the first finished backup of 100 MB and its page, as somebody at a new machine meets it: an
//! empty home, no cache, everything by default. The page is fetched signed in, by the one-time link.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{self, Outcome, at};
use crate::workspace;

/// Files of a megabyte; every other one shrinks.
const FILES: u8 = 100;

/// How often it is done; the one in the middle counts.
const ROUNDS: usize = 3;

/// What it may take (issue 4).
const TARGET: Duration = Duration::from_secs(60);

/// How long each step took, from the command on.
#[derive(Clone, Copy)]
struct Figures {
    answers: Duration,
    protected: Duration,
    page: Duration,
}

/// Measures, and says what it took.
pub(super) fn run(words: &[&str]) -> Outcome {
    let program = match words {
        [] => workspace::release_binary()?,
        ["--program", program] => PathBuf::from(program),
        _ => return Err(format!("do not know `{}`", words.join(" "))),
    };
    let mut figures = Vec::new();
    for number in 1..=ROUNDS {
        let room = super::room()?;
        fill(&room.join("work"))?;
        let found = round(&program, &room)?;
        let Figures { answers, protected, page } = found;
        println!("round {number}: answers after {answers:.1?}, backed up after {protected:.1?}, page after {page:.1?}");
        figures.push(found);
    }
    figures.sort_by_key(|figures| figures.page);
    let page = figures[ROUNDS / 2].page;
    let word = if page <= TARGET { "within" } else { "above" };
    println!("stead up, {FILES} MB: {page:.1?} to the first finished backup and its page, {word} {TARGET:?}");
    Ok(())
}

fn fill(folder: &Path) -> Outcome {
    at(folder, fs::create_dir_all(folder))?;
    let mut random = at(Path::new("/dev/urandom"), fs::File::open("/dev/urandom"))?;
    for number in 0..FILES {
        let path = folder.join(format!("{number}.bin"));
        let mut file = at(&path, fs::File::create(&path))?;
        let mut bytes = vec![number; 1_000_000];
        if number % 2 == 0 {
            at(&path, std::io::Read::read_exact(&mut random, &mut bytes))?;
        }
        at(&path, file.write_all(&bytes))?;
    }
    Ok(())
}

/// A server that ends with the round.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn round(program: &Path, room: &Path) -> Outcome<Figures> {
    let mut command = Command::new(program);
    command.args(["up", "--json", "--listen", "127.0.0.1:0", "--data"]).arg(room.join("data")).arg(room.join("work"));
    command.env("HOME", room).env_remove("XDG_CACHE_HOME").env_remove("XDG_DATA_HOME").env_remove("STEAD_DATABASE_URL");
    let begun = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let mut running = Running(child);
    let told = running.0.stdout.take().ok_or("it says nothing")?;
    let mut lines = BufReader::new(told).lines().map_while(Result::ok);
    let mut message = |wanted: &str| {
        let mut messages = lines.by_ref().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        messages.find(|message| message["message_type"] == wanted).ok_or_else(|| format!("it ended without {wanted}"))
    };
    let listening = message("listening")?;
    let answers = begun.elapsed();
    let ended = message("first_backup")?;
    let protected = begun.elapsed();
    if ended["state"] != "good" {
        return Err(format!("the backup is not good: {ended}"));
    }
    let link = listening["link"].as_str().ok_or("no link")?;
    look(link, room)?;
    Ok(Figures { answers, protected, page: begun.elapsed() })
}

/// Signs in by the link, and opens the machine's page.
fn look(link: &str, room: &Path) -> Outcome {
    let password = "a password that nobody keeps";
    let form = ["--data-urlencode", &format!("password={password}"), "--data-urlencode", &format!("again={password}")]
        .map(str::to_owned);
    let origin = link.split("/welcome/").next().unwrap_or(link);
    let email = "email=owner@localhost".to_owned();
    let fleet =
        curl(room, &[&form[..], &["--location".into(), "--data-urlencode".into(), email, link.into()]].concat())?;
    let machine = fleet.split("href=\"/machines/").nth(1).and_then(|rest| rest.split('"').next());
    let machine = machine.ok_or_else(|| format!("no machine on the page: {fleet}"))?;
    let page = curl(room, &[format!("{origin}/machines/{machine}")])?;
    match page.contains("Files and restore") {
        true => Ok(()),
        false => Err(format!("not the machine's page: {page}")),
    }
}

fn curl(room: &Path, words: &[String]) -> Outcome<String> {
    let jar = room.join("cookies");
    let mut curl = program::command(["curl", "--silent", "--show-error", "--fail-with-body", "--insecure"]);
    program::output(curl.arg("--cookie").arg(&jar).arg("--cookie-jar").arg(&jar).args(words))
}
