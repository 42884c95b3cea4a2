//! A look at a target: what it is, what is on it, who uses it, and whether it must not be written at all.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use platform::{DeviceNumber, direct, hardware};

use super::RestoreError;
use super::plan::{Caution, Scratch, Surroundings, TargetFacts, TargetKind};
use crate::inventory::{self, Inventory};
use crate::table::Table;
use crate::used::{self, Kind, Taken};
use crate::{ReadAt, SizedFile, Window};

/// A look at a target.
pub(super) struct Look<'l> {
    pub(super) path: &'l Path,
    pub(super) around: &'l Surroundings,
}

impl Look<'_> {
    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> RestoreError {
        let path = self.path.to_owned();
        move |cause| RestoreError::Target { action, path: path.clone(), cause }
    }

    pub(super) fn at_target(&self) -> Result<(TargetFacts, Vec<Caution>), RestoreError> {
        use std::os::unix::fs::FileTypeExt;
        let metadata = match std::fs::metadata(self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((self.new_file(), Vec::new())),
            Err(error) => return Err(self.failed("look at")(error)),
        };
        match metadata.file_type() {
            kind if kind.is_block_device() => self.at_device(),
            kind if kind.is_file() => self.at_file(metadata.len()),
            _ => Err(RestoreError::Refused(format!("{} is neither a file nor a block device", self.path.display()))),
        }
    }

    fn new_file(&self) -> TargetFacts {
        TargetFacts {
            path: self.path.to_owned(),
            name: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            kind: TargetKind::NewFile,
            size: 0,
            model: None,
            serial: None,
            sector: None,
            content: Vec::new(),
        }
    }

    fn at_file(&self, size: u64) -> Result<(TargetFacts, Vec<Caution>), RestoreError> {
        let cautions = if size > 0 { vec![Caution::NotEmpty] } else { Vec::new() };
        // Who may write it need not be allowed to read it.
        let found =
            File::open(self.path).and_then(SizedFile::new).and_then(|file| found(&file, 512)).unwrap_or_default();
        let content = found.iter().map(Found::line).collect();
        Ok((TargetFacts { kind: TargetKind::File, size, content, ..self.new_file() }, cautions))
    }

    fn at_device(&self) -> Result<(TargetFacts, Vec<Caution>), RestoreError> {
        let failed = || self.failed("look at");
        let inventory = Inventory::of(&self.around.system, "").map_err(failed())?;
        let number = DeviceNumber::of(self.path).map_err(failed())?;
        let device = self.around.system.device_of(number).map_err(failed())?;
        let disk = device.as_ref().and_then(|device| inventory.disk(&device.name));
        let partition = device.as_ref().and_then(|device| {
            let is_it = |partition: &&hardware::Partition| partition.number == number;
            device.partitions.iter().find(is_it)
        });
        let mut file = File::open(self.path).map_err(self.failed("open"))?;
        let size = file.seek(SeekFrom::End(0)).map_err(failed())?;
        let sectors = direct::sector_sizes(&file).map_err(failed())?;
        let part = partition.and_then(|part| disk?.partitions.iter().find(|known| known.name == part.name));
        let whole = SizedFile::new(file.try_clone().map_err(failed())?).map_err(failed())?;
        let found = found(&whole, sectors.0.into()).map_err(self.failed("read"))?;
        let facts = TargetFacts {
            name: part
                .map(|part| part.name.clone())
                .or(disk.map(|disk| disk.name.clone()))
                .unwrap_or(self.new_file().name),
            kind: TargetKind::Device,
            size,
            model: disk.and_then(|disk| disk.model.clone()),
            serial: disk.and_then(|disk| disk.serial.clone()),
            sector: Some(sectors.0),
            content: disk.map(|disk| content(disk, part, &found)).unwrap_or_default(),
            ..self.new_file()
        };
        let mut cautions = disk.map(|disk| in_use(disk, part)).unwrap_or_default();
        if !facts.content.is_empty() || !is_blank(&mut file, size).map_err(self.failed("read"))? {
            cautions.push(Caution::NotEmpty);
        }
        Ok((facts, cautions))
    }

    /// File systems are not made smaller where they will be written, nor where there is no room.
    pub(super) fn refusal_of_scratch(
        &self,
        target: &TargetFacts,
        scratch: &Scratch,
    ) -> Result<Option<String>, RestoreError> {
        let Scratch { directory, bytes } = scratch;
        let failed = |cause| RestoreError::Target { action: "look at", path: directory.clone(), cause };
        let volume = platform::volume(directory.as_os_str().as_encoded_bytes()).map_err(failed)?;
        if volume.available < *bytes {
            let has = volume.available;
            let directory = directory.display();
            return Ok(Some(format!(
                "{directory} has room for {has} bytes and may need {bytes}: `--scratch` names another"
            )));
        }
        if target.kind != TargetKind::Device {
            return Ok(None);
        }
        let below = inventory::disks_below(&self.around.system, directory).map_err(failed)?;
        let number = DeviceNumber::of(self.path).map_err(failed)?;
        let device = self.around.system.device_of(number).map_err(failed)?;
        let lies_on = device.is_some_and(|device| below.contains(&device.name));
        Ok(lies_on.then(|| format!("{} lies on the target: `--scratch` names another place", directory.display())))
    }

    /// A disk that holds the repository must not be overwritten with what is in it.
    pub(super) fn refusal(&self, target: &TargetFacts) -> Result<Option<String>, RestoreError> {
        let Some(repository) = self.around.repository.as_deref().filter(|_| target.kind == TargetKind::Device) else {
            return Ok(None);
        };
        let failed = || self.failed("look at");
        let below = inventory::disks_below(&self.around.system, repository).map_err(failed())?;
        let number = DeviceNumber::of(self.path).map_err(failed())?;
        let device = self.around.system.device_of(number).map_err(failed())?;
        Ok(device.filter(|device| below.contains(&device.name)).map(|device| {
            format!("the repository at {} lies on {}, which would overwrite it", repository.display(), device.name)
        }))
    }
}

/// What is on a disk, or on a partition of it: what the system knows, and what is found there besides.
fn content(disk: &inventory::Disk, part: Option<&inventory::Partition>, found: &[Found]) -> Vec<String> {
    let line = |name: &str, size: u64, content: &inventory::Content, seen: Option<&Found>| {
        let kind = content.file_system.clone().or_else(|| seen?.kind_name());
        let label = content.label.clone().or_else(|| seen?.label.clone());
        let mut line = format!("{name}, {size} bytes");
        for (word, text) in [("", &kind), ("label ", &label)] {
            line.extend(text.iter().map(|text| format!(", {word}{text}")));
        }
        line.extend(content.mounted.iter().map(|place| format!(", mounted at {place}")));
        line
    };
    let whole = found.iter().find(|found| found.number.is_none());
    let is_empty = |content: &inventory::Content| *content == inventory::Content::default() && found.is_empty();
    match part {
        Some(part) if is_empty(&part.content) => Vec::new(),
        Some(part) => vec![line(&part.name, part.size, &part.content, whole)],
        None => {
            let own = !(disk.content == inventory::Content::default() && whole.is_none());
            let own = own.then(|| line(&disk.name, disk.size, &disk.content, whole));
            let parts = disk.partitions.iter().map(|part| {
                let seen = found.iter().find(|found| found.number == Some(part.number) && found.start == part.start);
                line(&part.name, part.size, &part.content, seen)
            });
            let is_shown = |found: &&Found| disk.partitions.iter().any(|part| found.number == Some(part.number));
            let others = found.iter().filter(|found| found.number.is_some() && !is_shown(found)).map(Found::line);
            own.into_iter().chain(parts).chain(others).collect()
        }
    }
}

/// A partition, or a file system on the whole, as a quick look finds it.
struct Found {
    number: Option<u32>,
    start: u64,
    size: u64,
    kind: Kind,
    label: Option<String>,
}

impl Found {
    fn kind_name(&self) -> Option<String> {
        (self.kind != Kind::Unknown).then(|| self.kind.to_string())
    }

    fn line(&self) -> String {
        let name = self.number.map_or("the whole".to_owned(), |number| format!("partition {number}"));
        let mut line = format!("{name}, {} bytes", self.size);
        line.extend(self.kind_name().map(|kind| format!(", {kind}")));
        line.extend(self.label.iter().map(|label| format!(", label {label}")));
        line
    }
}

/// What a quick look at a disk or a file finds. What is known and what it is called stands at the beginning; maps of free
/// blocks are not read.
fn found(disk: &dyn ReadAt, sector: u64) -> io::Result<Vec<Found>> {
    let look = |number, start, size| {
        let window = Window::new(disk, start, size)?;
        let usage = used::examine(&Glance { inner: window, left: AtomicU64::new(GLANCE) }, Taken::AsFound);
        Some(Found { number, start, size, kind: usage.kind, label: usage.label })
    };
    let table = Table::read(disk, sector)?;
    let whole = look(None, 0, disk.size()).filter(|found| found.kind != Kind::Unknown);
    let parts = table.partitions.iter().filter_map(|part| look(Some(part.number), part.start, part.size));
    Ok(whole.into_iter().chain(parts).collect())
}

/// Bytes of a volume that a quick look reads at most.
const GLANCE: u64 = 2 << 20;

/// A volume of which only so much can be read.
struct Glance<R> {
    inner: R,
    left: AtomicU64,
}

impl<R: ReadAt> ReadAt for Glance<R> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let wanted = into.len() as u64;
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wanted));
        taken.map_err(|_| io::Error::other("a quick look reads no further"))?;
        self.inner.read_at(offset, into)
    }
}

fn in_use(disk: &inventory::Disk, part: Option<&inventory::Partition>) -> Vec<Caution> {
    let (mounted, users): (Vec<&str>, Vec<&str>) = match part {
        None => (disk.mounted(), disk.users()),
        Some(part) => (
            part.content.mounted.iter().map(String::as_str).collect(),
            part.content.used_by.iter().map(String::as_str).chain(part.content.swap.then_some("swap")).collect(),
        ),
    };
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mounted = (!mounted.is_empty()).then(|| Caution::Mounted { at: owned(mounted) });
    let users = (!users.is_empty()).then(|| Caution::InUse { by: owned(users) });
    mounted.into_iter().chain(users).collect()
}

/// True if there is nothing where tables and file systems begin and end.
fn is_blank(file: &mut File, size: u64) -> io::Result<bool> {
    const LOOK: u64 = 1 << 20;
    let mut content = Vec::new();
    for start in [0, size.saturating_sub(LOOK)] {
        file.seek(SeekFrom::Start(start))?;
        content.clear();
        file.take(LOOK).read_to_end(&mut content)?;
        if content.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}
