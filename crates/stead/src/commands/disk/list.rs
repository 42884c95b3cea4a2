//! `stead disk list`: what disks there are, and what is on them.

use disks::inventory::{Content, Disk, Inventory};
use platform::hardware::System;

use crate::failure::{Doing, Outcome};
use crate::open::Context;
use crate::output;
use crate::render::size;
use crate::render::table::{Table, printable};

/// List disks, partitions and what is on them
///
/// With --json also how the machine boots, and its network cards.
///
/// Example: stead disk list
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let inventory = Inventory::of(&System::this(), &platform::hostname());
        let inventory = inventory.doing(|| "cannot look at the disks of this machine".into())?;
        let output = context.output();
        output.message(&inventory)?;
        let mut table = Table::new(&["Name", "Size", "Kind", "On it", "Mounted", "Model"]);
        for disk in &inventory.disks {
            table.row(disk_row(disk));
            for part in &disk.partitions {
                let name = format!("  {}", part.name);
                let cells = [name, size::bytes(part.size), "partition".into()];
                table.row(cells.into_iter().chain(content(&part.content)).chain([String::new()]).collect());
            }
        }
        output.result(table.render(output::width()).trim_end())
    }
}

fn disk_row(disk: &Disk) -> Vec<String> {
    let mut kind = disk.kind.clone();
    for (is_so, word) in [(disk.removable, "removable"), (disk.read_only, "read-only")] {
        if is_so {
            kind = format!("{kind}, {word}");
        }
    }
    let model = disk.model.iter().chain(&disk.serial).chain(&disk.backing_file);
    let model = model.map(|text| printable(text)).collect::<Vec<_>>().join(", ");
    let first = [disk.path.trim_start_matches("/dev/").to_owned(), size::bytes(disk.size), kind];
    first.into_iter().chain(content(&disk.content)).chain([model]).collect()
}

/// What is on a disk or partition, and where it is mounted.
fn content(content: &Content) -> [String; 2] {
    let label = content.label.as_ref().map(|label| format!("({label})"));
    let users = (!content.used_by.is_empty()).then(|| format!("for {}", content.used_by.join(", ")));
    let words: Vec<String> = content.file_system.iter().cloned().chain(label).chain(users).collect();
    let swap = content.swap.then(|| "swap".to_owned());
    let places: Vec<String> = content.mounted.iter().cloned().chain(swap).collect();
    [printable(&words.join(" ")), printable(&places.join(", "))]
}
