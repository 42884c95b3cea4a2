//! A fleet as large as a provider's may get, in front of a real server: 500 clients with 20 machines each, a year of their
//! history, and every agent connected. Prints what the server needs for it as JSON; `cargo xtask bench fleet` makes a page
//! of that.
//!
//! Words: the program `stead`, an empty folder, `sqlite` or `postgres`, machines, seconds to watch.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are what it is for")]

mod crowd;
mod history;
mod servant;
mod visit;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crowd::Crowd;
use jiff::Timestamp;
use servant::Servant;
use store::Store;
use testkit::Postgres;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Machines of one client.
const OF_A_CLIENT: usize = 20;

/// What is asked for.
struct Asked {
    stead: PathBuf,
    room: PathBuf,
    engine: String,
    machines: usize,
    watched: Duration,
}

impl Asked {
    fn read(words: &[String]) -> Outcome<Asked> {
        let [stead, room, engine, machines, seconds] = words else {
            return Err("fleet STEAD FOLDER sqlite|postgres MACHINES SECONDS".into());
        };
        let watched = Duration::from_secs(seconds.parse()?);
        let (stead, room) = (stead.into(), room.into());
        Ok(Asked { stead, room, engine: engine.clone(), machines: machines.parse()?, watched })
    }
}

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = Asked::read(&words)?;
    let postgres = if asked.engine == "postgres" { Some(Postgres::start().ok_or("no PostgreSQL here")?) } else { None };
    let database = database(&asked.room, postgres.as_ref());
    tokio::runtime::Runtime::new()?.block_on(measure(&asked, &database))
}

fn database(room: &Path, postgres: Option<&Postgres>) -> String {
    match postgres {
        Some(postgres) => postgres.database("fleet"),
        None => format!("sqlite:{}", room.join("fleet.db").display()),
    }
}

async fn measure(asked: &Asked, database: &str) -> Outcome {
    let store = Store::open(database).await?;
    let history = history::invent(&store, database, asked.machines).await?;
    eprintln!("{} machines and {} runs of a year", asked.machines, history.runs);
    let servant = Servant::start(&asked.stead, &asked.room, database)?;
    let crowd = Crowd::gather(&servant, asked.machines).await?;
    let gathered = crowd.took.as_secs_f64();
    eprintln!("all agents connected after {gathered:.1} s");
    all_judged(&store).await?;
    let visitor = visit::Visitor::enter(&store, &servant, &history).await?;
    let quiet = visitor.visit().await?;
    eprintln!("first page {:.1} ms, {} bytes", quiet.median, quiet.bytes);
    // The server's own backup, a minute after its start, is once a day: it is not counted.
    servant.first_backup_is_over(Duration::from_secs(600)).await;
    let before = servant.spent()?;
    let begin = std::time::Instant::now();
    crowd.works(asked.watched).await?;
    let (spent, wall) = (servant.spent()? - before, begin.elapsed());
    let busy = visitor.visit().await?;
    let answer = serde_json::json!({
        "engine": asked.engine,
        "machines": asked.machines,
        "runs": history.runs,
        "gathered": gathered,
        "cores": spent.as_secs_f64() / wall.as_secs_f64(),
        "watched": wall.as_secs_f64(),
        "memory": servant.memory()?,
        "pages": [quiet.told("quiet"), busy.told("busy")],
        "machine": visitor.a_machine().await?.told("machine"),
    });
    println!("{answer}");
    crowd.leave();
    Ok(())
}

/// Waits until the server has judged everybody.
async fn all_judged(store: &Store) -> Outcome {
    while !store.system().to_judge(Timestamp::now(), 200).await?.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
