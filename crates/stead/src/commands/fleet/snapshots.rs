//! `stead fleet snapshots`, `ls`, `find`: what was backed up, as the keeper knows it.

use api::answer::backups::{Entry, Folder, Place, Places, Snapshot};

use super::call::Call;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::size::bytes;
use crate::render::table::{Table, printable};
use crate::render::time::local_text;

/// List a machine's snapshots, the newest first
///
/// Example: stead fleet snapshots reception-pc
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
}

/// List a folder of a snapshot
///
/// What is in an image of a disk is a folder too: /sda.img/1 is its first partition.
///
/// Example: stead fleet ls reception-pc latest /home/anna
#[derive(clap::Args)]
pub(crate) struct LsArgs {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Which snapshot: `latest`, or the start of an id
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    /// The folder, as an absolute path
    #[arg(value_name = "PATH", default_value = "/")]
    path: String,
}

/// Find a name in all snapshots of a machine, the newest first
///
/// Example: stead fleet find reception-pc letter.odt
#[derive(clap::Args)]
pub(crate) struct FindArgs {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// What the name contains
    #[arg(value_name = "TEXT")]
    text: String,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let found = call.snapshots(&call.machine(&self.machine)?)?;
        let mut table = Table::new(&["Id", "Made", "Size", "What"]);
        for snapshot in &found {
            output.message(snapshot)?;
            let Snapshot { id, at, paths, size, .. } = snapshot;
            let paths: Vec<String> = paths.iter().map(|path| printable(path)).collect();
            table.row(vec![short(id), local_text(at), size.map_or_else(String::new, bytes), paths.join("\n")]);
        }
        match found.len() {
            0 => output.result("there is no snapshot yet"),
            _ => output.result(table.render(output::width()).trim_end()),
        }
    }
}

/// As much of a snapshot's name as people type.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

impl LsArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let machine = call.machine(&self.machine)?;
        let snapshot = call.snapshot(&machine, &self.snapshot)?;
        let address = format!("/api/v1/machines/{}/snapshots/{}", machine.id, snapshot.id);
        let (mut table, mut after) = (Table::new(&["Changed", "Size", "Name"]), String::new());
        loop {
            let page: Folder = call.get(&address, &[("path", &self.path), ("after", &after)])?;
            for entry in &page.entries {
                output.message(entry)?;
                table.row(row(entry));
            }
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        output.result(table.render(output::width()).trim_end())
    }
}

fn row(entry: &Entry) -> Vec<String> {
    let (slash, size) = match entry.kind.as_str() {
        "folder" | "image" => ("/", String::new()),
        "file" => ("", bytes(entry.size)),
        _ => ("", String::new()),
    };
    let changed = entry.changed.as_deref().map_or_else(String::new, local_text);
    vec![changed, size, format!("{}{slash}", printable(&entry.name))]
}

impl FindArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let machine = call.machine(&self.machine)?;
        let address = format!("/api/v1/machines/{}/find", machine.id);
        let found: Places = call.get(&address, &[("text", &self.text)])?;
        let mut table = Table::new(&["Snapshot", "Made", "Size", "Path"]);
        for place in &found.places {
            output.message(place)?;
            let Place { snapshot, at, path, size, .. } = place;
            table.row(vec![short(snapshot), local_text(at), bytes(*size), printable(path)]);
        }
        if let Some(why) = &found.incomplete {
            output.warn(format_args!("not all names are known: {}", printable(why)));
        }
        if found.more {
            output.warn("there are more: give more of the name");
        }
        match found.places.len() {
            0 => output.result("no such name was found"),
            _ => output.result(table.render(output::width()).trim_end()),
        }
    }
}
