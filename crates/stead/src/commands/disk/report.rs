//! What `stead disk backup` says: plans, what is taken up or continued, and the summary.

use std::time::Instant;

use disks::manifest::{Capture, Consistency};
use disks::session::Resumed;
use repo::Id;
use serde_json::json;

use super::base::Base;
use super::image::Image;
use super::job::{Done, Subject, disk_figures};
use super::source::Content;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render::{size, time};

/// Says it, to people or programs.
pub(super) struct Report {
    output: Output,
    begin: Instant,
    place: &'static str,
}

impl Report {
    /// From now on; what is new goes to that place.
    pub(super) fn new(output: Output, place: &'static str) -> Report {
        Report { output, begin: Instant::now(), place }
    }

    pub(super) fn warnings(&self, subjects: &[Subject]) {
        for subject in subjects {
            for warning in subject.source.survey().all_warnings() {
                self.output.warn(format_args!("{}: {warning}", subject.source.path.display()));
            }
        }
    }

    /// What would be read.
    pub(super) fn plan(&self, Subject { source, name }: &Subject, parent: Option<Id>) -> Outcome {
        let (bytes, used) = (source.size, source.used().bytes());
        let choice = match &source.content {
            Content::Device(device) => Some(&device.seen.choice),
            Content::File(_) => None,
        };
        self.output.message(&json!({
            "message_type": "plan", "disk": name.as_str(), "device": source.path, "size": bytes,
            "bytes_in_use": used, "parent": parent, "dry_run": true, "provider": choice.map(|choice| choice.provider),
            "provider_reason": choice.map(|choice| &choice.reason),
        }))?;
        let after = parent.map_or("the first image".to_owned(), |id| format!("after snapshot {}", id.short()));
        let (bytes, used, path) = (size::bytes(bytes), size::bytes(used), source.path.display());
        self.output.remark(format_args!("would read {used} of {path} ({bytes}) as disk {name}: {after}"))
    }

    /// What a disk's image continues, or why it does not.
    pub(super) fn base(&self, Subject { name, .. }: &Subject, base: &Base) {
        let (snapshot, changed, why) = match base {
            Base::Snapshot { parent, changed } => (Some(parent.disk.snapshot()), Some(changed.bytes()), None),
            Base::Nothing(Some(why)) => (None, None, Some(why)),
            Base::Nothing(None) => return,
        };
        // If standard output is gone, the end of the command tells.
        _ = self.output.message(&json!({
            "message_type": "base", "disk": name.as_str(), "snapshot_id": snapshot, "bytes_changed": changed,
            "reason": why,
        }));
        _ = match (snapshot, changed, why) {
            (Some(id), Some(changed), _) => self.output.remark(format_args!(
                "{name}: {} were written since snapshot {}, and only they are read",
                size::bytes(changed),
                id.short()
            )),
            (_, _, Some(why)) => {
                self.output.remark(format_args!("{name}: everything in use is read and compared, because {why}"))
            }
            _ => Ok(()),
        };
    }

    /// What was taken up.
    pub(super) fn resumed(&self, Subject { name, .. }: &Subject, resumed: &Resumed) {
        let Some(started) = resumed.started else { return };
        let done = resumed.done.bytes();
        _ = self.output.message(&json!({
            "message_type": "resumed", "disk": name.as_str(), "started": started, "bytes_done": done,
            "packs_found": resumed.packs,
        }));
        let since = time::local(started);
        let what = match done {
            0 => "nothing proves that it was not changed since: everything is read again, and only what is missing is sent"
                .to_owned(),
            done => format!("{} need not be read again", size::bytes(done)),
        };
        _ = self.output.remark(format_args!("taking up the image of {name} that was begun {since}: {what}"));
    }

    /// Which trackers live on though nobody watches these disks.
    pub(super) fn kept(&self, devices: &[String]) {
        let devices = devices.join(" ");
        self.output.warn(format_args!(
            "what is written to {devices} is noted from now on, so that the next run of this command goes on here; \
             `stead disk unwatch {devices}` ends that"
        ));
    }

    /// What became of all of it.
    pub(super) fn summary(&self, subjects: &[Subject], done: &Done) -> Outcome {
        let summary = &done.saved.summary;
        let seconds = self.begin.elapsed();
        let mut message = serde_json::to_value(summary)?;
        let disks: Vec<_> = subjects
            .iter()
            .zip(done.images.iter().zip(&done.resumed))
            .map(|(subject, (image, resumed))| disk_figures(subject, image, *resumed))
            .collect();
        // What one disk has is said on top as well.
        if let ([disk], Some(top)) = (&disks[..], message.as_object_mut()) {
            top.extend(disk.as_object().cloned().unwrap_or_default());
        }
        message["message_type"] = json!("summary");
        message["total_duration"] = json!(seconds.as_secs_f64());
        message["snapshot_id"] = json!(done.saved.id);
        message["state"] = json!(done.state);
        message["disks"] = json!(disks);
        self.output.message(&message)?;
        let clock = time::clock(seconds.as_secs());
        for (subject, image) in subjects.iter().zip(&done.images) {
            self.disk(subject, image, &clock)?;
        }
        let (added, packed) = (size::bytes(summary.data_added), size::bytes(summary.data_added_packed));
        self.output.remark(format_args!("Added to the {}: {added} ({packed} stored)", self.place))?;
        self.output.remark(format_args!("snapshot {} saved", done.saved.id.short()))
    }

    fn disk(&self, Subject { source, name }: &Subject, image: &Image, clock: &str) -> Outcome {
        for gap in image.gaps.iter() {
            self.output.warn(format_args!("{} bytes at {} could not be read", gap.end - gap.start, gap.start));
        }
        if image.full_compares > 0 {
            self.output.warn(format_args!(
                "{name}: the kernel and the tracker disagreed about what was written, so everything was read and compared"
            ));
        }
        let (whole, used) = (size::bytes(source.size), size::bytes(image.used.bytes()));
        let (read, view) = (size::bytes(image.read), view_words(&image.capture));
        self.output.remark(format_args!("{name}: {whole}, {used} in use, {read} read in {clock}; {view}"))?;
        match image.left_out {
            0 => Ok(()),
            bytes => {
                let bytes = size::bytes(bytes);
                self.output.remark(format_args!("{name}: the spool on it ({bytes}) is left out of the image"))
            }
        }
    }
}

/// How it was read, and what that is worth.
fn view_words(capture: &Capture) -> String {
    let Capture { provider, consistency, passes, freeze_ms, reread_bytes, .. } = capture;
    match consistency {
        Consistency::Offline => "nobody wrote to it meanwhile".to_owned(),
        Consistency::None => "NOT consistent: it was written to while it was read".to_owned(),
        Consistency::Frozen | Consistency::Crash => format!(
            "of one instant ({provider}): {passes} passes, frozen for {:.2} s, {} read again",
            *freeze_ms as f64 / 1000.0,
            size::bytes(*reread_bytes)
        ),
    }
}
