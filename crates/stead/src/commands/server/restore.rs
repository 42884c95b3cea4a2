//! `stead server restore`: a lost server comes back from its own backup.

use std::fs;
use std::path::Path;

use files::restore::{self, Options, Overwrite, Progress};
use repo::Repository;
use repo::snapshot::SnapshotFilter;
use serde::Serialize;
use store::Store;
use tokio::runtime::Handle;

use super::Site;
use super::own_backup::{DATABASE_COPY, TAG};
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;
use crate::output::Output;

/// Bring a lost server back from its own backup
///
/// Name the repository with -r and its password with -p. The server must not run. Database and keys come back as they were; agents know
/// the server again, because it has the same authority, and go on. With --database-url the database is written into an empty
/// PostgreSQL database. Interrupted, it is run again.
///
/// Example: stead server restore -r sftp:nas:/stead-server -p password.txt
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which snapshot, if not the newest
    #[arg(value_name = "SNAPSHOT", default_value = "latest")]
    snapshot: String,
}

#[derive(Serialize)]
struct Restored {
    message_type: &'static str,
    snapshot: String,
    made: String,
}

/// What could not be restored is told, and counted by the restore.
struct Told(Output);

impl restore::Observer for Told {
    fn failed(&self, error: &restore::ItemError) {
        self.0.warn(error);
    }
}

impl Args {
    pub(super) fn run(self, site: &Site, context: &Context, handle: &Handle) -> Outcome {
        let root = site.place.root();
        let known = [Some(root.join("stead.db")), site.database_file().map(Path::to_path_buf)];
        if let Some(known) = known.into_iter().flatten().find(|database| database.exists()) {
            return Err(Failure::new(format!("there is a server in {} already", root.display()))
                .hint(format!("name another `--data`, or move {} away first", known.display())));
        }
        if context.settings.location.is_none() {
            return Err(Failure::new("where is the server's backup? Name its repository with `-r`"));
        }
        let opened = context.open_shared()?;
        let filter = SnapshotFilter { tags: vec![vec![TAG.into()]], ..SnapshotFilter::default() };
        let found = opened.repo.find_snapshot(&self.snapshot, &filter)?;
        let was = found.snapshot.paths.first().filter(|_| found.snapshot.tags.iter().any(|tag| tag == TAG));
        let was = was.ok_or_else(|| Failure::new(format!("snapshot {} is no backup of a server", found.id.short())))?;
        let tree = files::locate::subfolder(&opened.repo, &found.snapshot.tree, was.as_bytes())?;
        files_back(&opened.repo, &tree, root, context.output())?;
        handle.block_on(site.database_back())?;
        opened.close(context.output());
        let made = found.snapshot.time.clone();
        let place = root.display();
        let snapshot = found.id.short().to_string();
        context.output().message(&Restored { message_type: "restored", snapshot, made: made.clone() })?;
        context
            .output()
            .remark(format_args!("the server is back in {place}, as of {made}; `stead up --data {place}` starts it"))
    }
}

fn files_back(repo: &Repository, tree: &repo::Id, root: &Path, output: Output) -> Outcome {
    repo.index()?;
    let options = Options { overwrite: Overwrite::IfChanged, verify: true, ..Options::default() };
    let plan = restore::plan(repo, tree, root, &options)?;
    let summary = plan.execute(&Progress::default(), &Told(output))?;
    match summary.errors {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} files could not be restored")).hint("run the command again")),
    }
}

impl Site {
    /// The database comes last: without it nothing takes the directory for a server's.
    async fn database_back(&self) -> Outcome {
        let copy = self.place.root().join(DATABASE_COPY);
        match self.database_file() {
            Some(path) => fs::rename(&copy, path).map_err(|error| Failure::io("put in place", path, error)),
            None => {
                let from = Store::open(&format!("sqlite:{}", copy.display())).await?;
                let to = Store::open(&self.database).await?;
                from.transfer(&to).await.doing(|| "cannot write the database".into())?;
                Ok(())
            }
        }
    }
}
