//! The plan of a disk's restore, and what came of it, in words and for programs.

use disks::restore::{Change, Fit, Part, Plan, Report, TargetKind, Unused};
use serde_json::json;

use crate::failure::Outcome;
use crate::output::Output;
use crate::render::table::printable;
use crate::render::{size, time};

pub(super) fn tell(output: Output, plan: &Plan, snapshot: &str, dry_run: bool) -> Outcome {
    let mut message = serde_json::to_value(plan)?;
    message["message_type"] = json!("plan");
    message["dry_run"] = json!(dry_run);
    output.message(&message)?;
    let verb = if dry_run { "would restore" } else { "restoring" };
    let target = &plan.target;
    output.remark(format_args!("{verb} disk {} of {snapshot}", plan.disk))?;
    let known = target.model.iter().chain(&target.serial).map(|text| format!(", {}", printable(text)));
    let size = match target.kind {
        TargetKind::NewFile => ", a new file".to_owned(),
        _ => format!(", {}", size::bytes(target.size)),
    };
    output.remark(format_args!("  onto    {}{}{size}", target.path.display(), known.collect::<String>()))?;
    for line in &target.content {
        output.remark(format_args!("  on it   {}", printable(line)))?;
    }
    output.remark(format_args!("  size    {}: {}", size::bytes(plan.size), fit(plan)))?;
    for part in &plan.parts {
        output.remark(format_args!("  {}", line(part)))?;
    }
    if let Some(scratch) = &plan.scratch {
        let (bytes, directory) = (size::bytes(scratch.bytes), scratch.directory.display());
        output.remark(format_args!("  scratch up to {bytes} in {directory}, for what becomes smaller"))?;
    }
    output.remark(format_args!("  writes  {}", writes(plan)))?;
    for note in &plan.notes {
        output.remark(format_args!("  note    {note}"))?;
    }
    for caution in &plan.cautions {
        output.remark(format_args!("  careful {caution}"))?;
    }
    Ok(())
}

/// Whether it fits, in words.
fn fit(plan: &Plan) -> String {
    let room = size::bytes(plan.room);
    match &plan.fit {
        Fit::Exactly => "fits".to_owned(),
        Fit::Larger { rest } => format!("fits; {} behind it stay as they are", size::bytes(*rest)),
        Fit::Grown => format!("fits, with {} more", size::bytes(plan.room - plan.size)),
        Fit::Smaller => format!("fits on {room}: what is in use has its place there"),
        Fit::Shrunk => format!("fits on {room} after shrinking"),
        Fit::Not { because } => format!("does not fit, because {because}"),
    }
}

/// A partition: from where, to where, and what is done to it by what.
fn line(part: &Part) -> String {
    let name = part.number.map_or("disk   ".to_owned(), |number| format!("{:<7}", format!("part {number}")));
    let label = part.label.as_ref().map(|label| format!(" {}", printable(label))).unwrap_or_default();
    let (from, to) = (part.from, part.to);
    let moves = match from.start == to.start {
        true => format!("at {}", size::bytes(from.start)),
        false => format!("moves from {} to {}", size::bytes(from.start), size::bytes(to.start)),
    };
    let sizes = match from.size == to.size {
        true => format!("stays {}", size::bytes(from.size)),
        false => format!("{} becomes {}", size::bytes(from.size), size::bytes(to.size)),
    };
    let how = match &part.change {
        Change::None => String::new(),
        Change::Grow { tool } | Change::Shrink { tool, .. } => format!(", by {tool}"),
        Change::GrowAround { advice } => format!(", its content does not grow: {advice}"),
        Change::Cut => ", behind the end of its file system".to_owned(),
        Change::Remake { tool } => format!(", made again by {tool}"),
    };
    format!("{name} {}{label}, {} in use, {moves}, {sizes}{how}", part.kind, size::bytes(part.used))
}

fn writes(plan: &Plan) -> String {
    let used = size::bytes(plan.used);
    let what = match (plan.how.delta, plan.continues) {
        (_, true) => format!("what differs of {used} in use, going on from an earlier run"),
        (true, false) => format!("what differs of {used} in use"),
        (false, false) => format!("{used} in use"),
    };
    let rest = match plan.how.unused {
        Unused::Zero => "unused space reads as zeros afterwards",
        Unused::Discard => "unused space is discarded",
        Unused::Leave => "unused space stays as it is",
    };
    let verify = if plan.how.verify { "; everything is read back and compared" } else { "" };
    format!("{what}; {rest}{verify}")
}

pub(super) fn tell_report(output: Output, plan: &Plan, report: &Report, seconds: u64) -> Outcome {
    let mut message = serde_json::to_value(report)?;
    message["message_type"] = json!("summary");
    message["disk"] = json!(plan.disk);
    message["seconds_elapsed"] = json!(seconds);
    output.message(&message)?;
    for note in &report.notes {
        output.warn(note);
    }
    for failure in &report.failures {
        output.warn(format_args!("{} bytes at {}: {}", failure.length, failure.offset, failure.reason));
    }
    let clock = time::clock(seconds);
    let mut words = format!("restored disk {} in {clock}: {} written", plan.disk, size::bytes(report.written));
    for (figure, name) in
        [(report.unchanged, "right already"), (report.zeros, "zeros"), (report.left, "left as they were")]
    {
        if figure > 0 {
            words.push_str(&format!(", {} {name}", size::bytes(figure)));
        }
    }
    if !report.resized.is_empty() {
        words.push_str(&format!("; resized {}", report.resized.join(", ")));
    }
    if plan.how.verify {
        words.push_str(&format!("; {} read back and right", size::bytes(report.verified)));
    }
    output.remark(words)
}
