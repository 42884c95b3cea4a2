//! A look at a target: what it is, what is on it, who uses it, and whether it must not be written at all.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use platform::{DeviceNumber, direct, hardware};

use super::RestoreError;
use super::plan::{Caution, Scratch, Surroundings, TargetFacts, TargetKind};
use crate::inventory::{self, Inventory};

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
            kind if kind.is_file() => {
                let cautions = if metadata.len() > 0 { vec![Caution::NotEmpty] } else { Vec::new() };
                Ok((TargetFacts { kind: TargetKind::File, size: metadata.len(), ..self.new_file() }, cautions))
            }
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
            content: disk.map(|disk| content(disk, part)).unwrap_or_default(),
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

/// What is on a disk, or on a partition of it.
fn content(disk: &inventory::Disk, part: Option<&inventory::Partition>) -> Vec<String> {
    let line = |name: &str, size: u64, content: &inventory::Content| {
        let mut line = format!("{name}, {size} bytes");
        for (word, text) in [("", &content.file_system), ("label ", &content.label)] {
            line.extend(text.iter().map(|text| format!(", {word}{text}")));
        }
        line.extend(content.mounted.iter().map(|place| format!(", mounted at {place}")));
        line
    };
    match part {
        Some(part) if part.content == inventory::Content::default() => Vec::new(),
        Some(part) => vec![line(&part.name, part.size, &part.content)],
        None => {
            let whole =
                (disk.content != inventory::Content::default()).then(|| line(&disk.name, disk.size, &disk.content));
            let parts = disk.partitions.iter().map(|part| line(&part.name, part.size, &part.content));
            whole.into_iter().chain(parts).collect()
        }
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
