//! A restore from beginning to end, in an order in which it can be cut off anywhere and begun again: what becomes smaller is
//! made so elsewhere; the disk is copied; the table is written for the target; what becomes larger does so; the kernel is told.

use std::path::Path;

use platform::direct::Claim;
use repo::{Cancel, Repository};

use super::copy::{Copy, Job};
use super::look::Look;
use super::plan::{Caution, Surroundings, TargetKind};
use super::shrink::Shrunk;
use super::target::{Aligned, Existing, Target};
use super::{Consent, Fit, Plan, Report, RestoreError, Unused, kernel, resize, shrink};
use crate::Extents;
use crate::image::{StoredDisk, StoredImages};
use crate::progress::{Phase, Progress};

/// Bytes at both ends of what is not written in which something that was there before could be recognised.
const END: u64 = 1 << 20;

/// Does what the plan says.
///
/// # Errors
/// Anything that the plan refuses or warns about without consent, a target that is not as the plan says, and what ends the
/// work early. Chunks that could not be had are in the report, and everything else is written.
pub fn execute(
    repo: &Repository,
    images: &StoredImages,
    plan: &Plan,
    consent: &Consent,
    around: &Surroundings,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Report, RestoreError> {
    check_consent(plan, consent)?;
    check_unchanged(plan, around)?;
    let (disk, _) = images
        .disk(&plan.disk)
        .filter(|_| images.snapshot == plan.snapshot)
        .ok_or_else(|| RestoreError::Refused(format!("the plan is not for snapshot {}", images.snapshot.short())))?;
    repo.index()?;
    let target = open(plan)?;
    let mut run = Run { repo, disk, plan, target, progress, cancel };
    let shrunk = run.shrink()?;
    // Only now: what could not be opened or made smaller was not begun.
    let marker = plan.marker();
    if let Some(state) = &around.state {
        marker.set(state).map_err(|cause| failed("note the restore in", state, cause))?;
    }
    run.begin()?;
    let mut report = run.copy(&shrunk)?;
    match report.failures.is_empty() {
        true => run.finish(&mut report)?,
        false => run.write_table()?,
    }
    if plan.target.kind == TargetKind::Device {
        report.notes.extend(kernel::tell(&plan.target.path, run.target.as_file(), around));
    }
    progress.enter(Phase::Finished, 0);
    if let Some(state) = around.state.as_deref().filter(|_| report.failures.is_empty()) {
        marker.clear(state);
    }
    Ok(report)
}

struct Run<'r> {
    repo: &'r Repository,
    disk: &'r StoredDisk,
    plan: &'r Plan,
    target: Target,
    progress: &'r Progress,
    cancel: &'r Cancel,
}

impl Run<'_> {
    fn job(&self) -> Job<'_> {
        Job {
            repo: self.repo,
            disk: self.disk,
            pieces: &self.plan.fitted.pieces,
            target: &self.target,
            path: &self.plan.target.path,
            how: self.plan.how,
            progress: self.progress,
            cancel: self.cancel,
        }
    }

    fn failed(&self, action: &'static str) -> impl Fn(std::io::Error) -> RestoreError {
        let path = self.plan.target.path.clone();
        move |cause| failed(action, &path, cause)
    }

    /// The first thing that changes the target.
    fn begin(&mut self) -> Result<(), RestoreError> {
        let is_kept = self.plan.how.delta || matches!(self.plan.fit, Fit::Larger { .. });
        let existing = if is_kept { Existing::Keep } else { Existing::Empty };
        let begun = self.target.begin(self.plan.room, existing);
        begun.map_err(self.failed("make room in"))
    }

    /// File systems that become smaller, each in a file of its own.
    fn shrink(&self) -> Result<Vec<Shrunk>, RestoreError> {
        let Some(scratch) = &self.plan.scratch else { return Ok(Vec::new()) };
        self.plan
            .parts
            .iter()
            .filter_map(|part| shrink::shrunk(&self.job(), part, &scratch.directory).transpose())
            .collect()
    }

    fn copy(&self, shrunk: &[Shrunk]) -> Result<Report, RestoreError> {
        self.progress.enter(Phase::Restoring, self.plan.size);
        let copy = Copy::new(self.job());
        copy.run()?;
        let mut buffer = Aligned::default();
        let (mut written, mut resized) = (0, Vec::new());
        for one in shrunk {
            written += one.write(&self.job(), &mut buffer)?;
            resized.push(one.words());
        }
        self.wipe(shrunk, &mut buffer)?;
        self.target.sync().map_err(self.failed("finish writing"))?;
        if self.plan.how.verify {
            copy.verify()?;
            shrunk.iter().try_for_each(|one| one.verify(&self.job(), &mut buffer))?;
        }
        let report = copy.report();
        Ok(Report { written: report.written + written, resized, ..report })
    }

    /// What is written to by nobody keeps its bytes on a device, but for those by which something could be recognised that was
    /// there before.
    fn wipe(&self, shrunk: &[Shrunk], buffer: &mut Aligned) -> Result<(), RestoreError> {
        let Plan { fit, fitted, room, how, .. } = self.plan;
        let is_fitted = matches!(fit, Fit::Grown | Fit::Smaller | Fit::Shrunk);
        if !is_fitted || how.unused == Unused::Leave || self.target.is_fresh() {
            return Ok(());
        }
        let mut rest = Extents::all(*room);
        fitted.pieces.targets().iter().for_each(|range| rest.remove(range));
        shrunk.iter().for_each(|one| rest.remove(one.range()));
        let is_quick = how.unused == Unused::Discard || self.plan.target.kind != TargetKind::Device;
        for range in rest.iter() {
            let ends = [
                range.start..range.end.min(range.start + END),
                range.end.saturating_sub(END).max(range.start)..range.end,
            ];
            let parts = if is_quick { vec![range] } else { ends.to_vec() };
            for part in parts {
                self.target.zero(part, how.unused, buffer).map_err(self.failed("make zeros on"))?;
            }
        }
        Ok(())
    }

    /// The table for the target, and what becomes larger.
    fn finish(&self, report: &mut Report) -> Result<(), RestoreError> {
        self.write_table()?;
        self.progress.enter(Phase::Resizing, 0);
        for part in &self.plan.parts {
            report.resized.extend(resize::grow(part, self.target.as_file(), self.target.sector())?);
        }
        self.target.sync().map_err(self.failed("finish writing"))
    }

    fn write_table(&self) -> Result<(), RestoreError> {
        let Some(layout) = &self.plan.fitted.layout else { return Ok(()) };
        let mut buffer = Aligned::default();
        for patch in &layout.patches {
            let written = self.target.overwrite(patch.offset, &patch.bytes, &mut buffer);
            written.map_err(self.failed("write the partition table of"))?;
        }
        self.target.sync().map_err(self.failed("finish writing"))
    }
}

fn failed(action: &'static str, path: &Path, cause: std::io::Error) -> RestoreError {
    RestoreError::Target { action, path: path.to_owned(), cause }
}

fn check_consent(plan: &Plan, consent: &Consent) -> Result<(), RestoreError> {
    if let Some(refusal) = &plan.refusal {
        return Err(RestoreError::Refused(refusal.clone()));
    }
    let expected = &plan.target.name;
    match consent {
        Consent::Overwrite(given) if given.trim_start_matches("/dev/") != expected => {
            Err(RestoreError::WrongName { given: given.clone(), expected: expected.clone() })
        }
        Consent::None if !plan.cautions.is_empty() => {
            Err(RestoreError::NeedsConsent { path: plan.target.path.clone(), reasons: plan.warnings() })
        }
        _ => Ok(()),
    }
}

/// The target is what the plan says, and as empty or full as it says.
fn check_unchanged(plan: &Plan, around: &Surroundings) -> Result<(), RestoreError> {
    let (now, cautions) = Look { path: &plan.target.path, around }.at_target()?;
    let changed = |what: String| Err(RestoreError::Changed { path: plan.target.path.clone(), what });
    if now != plan.target {
        return changed(format!(
            "it was {} bytes, {:?}; it is {} bytes, {:?}",
            plan.target.size, plan.target.content, now.size, now.content
        ));
    }
    let is_known =
        |caution: &Caution| plan.cautions.contains(caution) || (plan.continues && *caution == Caution::NotEmpty);
    match cautions.iter().find(|caution| !is_known(caution)) {
        Some(caution) => changed(caution.to_string()),
        None => Ok(()),
    }
}

fn open(plan: &Plan) -> Result<Target, RestoreError> {
    let path = &plan.target.path;
    let in_use = |caution: &Caution| matches!(caution, Caution::Mounted { .. } | Caution::InUse { .. });
    let claim = if plan.cautions.iter().any(in_use) { Claim::Shared } else { Claim::Exclusive };
    let opened = match plan.target.kind {
        TargetKind::Device => Target::device(path, claim),
        TargetKind::File | TargetKind::NewFile => Target::file(path),
    };
    opened.map_err(|cause| failed("open", path, cause))
}
