//! `stead fleet machines`: all that is looked after, the worst first.

use api::answer::{Fleet, Machine};

use super::call::Call;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};

/// List machines, the worst first
///
/// Example: stead fleet machines --state late
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only those in this state: good, running, paused, incomplete, late, never or failed
    #[arg(long, value_name = "STATE", default_value = "")]
    state: String,
    /// Only those with this in their name
    #[arg(long, value_name = "TEXT", default_value = "")]
    find: String,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    most: usize,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let mut table = Table::new(&["State", "Machine", "Last 28 days", "What matters most"]);
        let (mut after, mut left) = (String::new(), self.most);
        let sentence = loop {
            let asked = [("state", self.state.as_str()), ("find", &self.find), ("after", &after)];
            let page: Fleet = call.get("/api/v1/fleet", &asked)?;
            for machine in page.machines.iter().take(left) {
                output.message(machine)?;
                table.row(row(machine));
            }
            left = left.saturating_sub(page.machines.len());
            match page.next {
                Some(next) if left > 0 => after = next,
                Some(_) => break format!("{} (there are more: raise `--most`)", page.sentence),
                None => break page.sentence,
            }
        };
        table.foot(sentence);
        output.result(table.render(output::width()).trim_end())
    }
}

fn row(machine: &Machine) -> Vec<String> {
    let state = match (machine.paused, machine.percent) {
        (true, _) => "paused".into(),
        (false, Some(percent)) if machine.state == "running" => format!("running {percent} %"),
        _ => machine.state.clone(),
    };
    let bar = machine.bar.split_once(' ').map_or("", |(_, days)| days).to_owned();
    vec![state, printable(&machine.name), bar, printable(&machine.sentence)]
}
