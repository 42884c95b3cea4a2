//! `stead cache`: what is kept on this machine so that less is read from storage.

use std::path::Path;
use std::time::SystemTime;

use backend::{CacheInfo, list_caches, remove_cache};

use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output;
use crate::render::size;
use crate::render::table::Table;

/// Show or clean up the cache on this machine
///
/// Example: stead cache --cleanup --max-age 7
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Remove caches that were not used for long
    #[arg(long)]
    cleanup: bool,
    /// Days after which a cache counts as old
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    max_age: u64,
    /// Do not add up sizes
    #[arg(long)]
    no_size: bool,
}

const DAY: u64 = 86400;

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let Some(directory) = &context.settings.cache else {
            return Err(Failure::new("there is no cache: --no-cache was given, or there is no home directory"));
        };
        let caches = list(directory)?;
        if self.cleanup { self.clean(context, &caches) } else { self.show(context, directory, &caches) }
    }

    fn clean(&self, context: &Context, caches: &[CacheInfo]) -> Outcome {
        let old: Vec<&CacheInfo> = caches.iter().filter(|cache| idle_days(cache) >= self.max_age).collect();
        for cache in &old {
            remove(cache)?;
        }
        let output = context.output();
        match old.len() {
            0 => output.result("no old caches found"),
            count => output.result(format_args!("removed {count} old caches")),
        }
    }

    fn show(&self, context: &Context, directory: &Path, caches: &[CacheInfo]) -> Outcome {
        let mut head = vec!["Repo ID", "Last Used", "Old"];
        head.extend((!self.no_size).then_some("Size"));
        let mut table = Table::new(&head);
        for cache in caches {
            let old = if idle_days(cache) >= self.max_age { "yes" } else { "" };
            let id: String = cache.id.chars().take(10).collect();
            let mut row = vec![id, format!("{} days ago", idle_days(cache)), old.into()];
            row.extend((!self.no_size).then(|| size::bytes(cache.size)));
            table.row(row);
        }
        table.foot(format!("{} caches in {}", caches.len(), directory.display()));
        // As restic does, in words even with --json.
        let words = output::Output { format: output::Format::Text, ..context.output() };
        words.result(table.render(output::width()).trim_end())
    }
}

/// Removes the caches that were not used for a month; for `--cleanup-cache`.
pub(crate) fn remove_old(directory: &Path) -> Outcome {
    let caches = list(directory)?;
    caches.iter().filter(|cache| idle_days(cache) >= 30).try_for_each(remove)
}

fn list(directory: &Path) -> Outcome<Vec<CacheInfo>> {
    let mut caches = list_caches(directory).map_err(|error| Failure::io("list the caches in", directory, error))?;
    caches.sort_by_key(idle_days);
    Ok(caches)
}

fn remove(cache: &CacheInfo) -> Outcome {
    remove_cache(cache).map_err(|error| Failure::io("remove the cache", &cache.path, error))
}

fn idle_days(cache: &CacheInfo) -> u64 {
    SystemTime::now().duration_since(cache.last_used).map_or(0, |idle| idle.as_secs() / DAY)
}
