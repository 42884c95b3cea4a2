//! Making the structure anew: the containers and groups that a volume lay in, on devices that are empty.

use std::path::{Path, PathBuf};

use platform::BlockDevice;
use platform::direct::{Claim, DirectFile};

use super::{Container, Group, Layer};
use crate::provider::{ProgramError, Programs};
use crate::survey::LiveSurvey;
use crate::table::Scheme;
use crate::used::Kind;

/// Why a structure cannot be made anew.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RebuildError {
    #[error("the image is of a disk or partition: it lies in nothing that could be made anew")]
    Nothing,
    #[error("the group {group} has thin or cache pools, whose own records are not part of its text")]
    Pools { group: String },
    #[error("{wanted} devices are needed, one for each of {}, and {given} were named", were.join(", "))]
    Count { wanted: usize, given: usize, were: Vec<String> },
    #[error("{} is too small: {size} bytes, and the structure needs {needed}", device.display())]
    TooSmall { device: PathBuf, size: u64, needed: u64 },
    #[error("{} is not empty: {what}", device.display())]
    NotEmpty { device: PathBuf, what: String },
    #[error("the manifest names something {name:?}, which LVM and cryptsetup would not")]
    Name { name: String },
    #[error("there is a {what} called {name} on this machine already")]
    Exists { what: &'static str, name: String },
    #[error("cannot look at {}: {cause}", device.display())]
    Look { device: PathBuf, cause: std::io::Error },
    #[error("cannot write {}: {cause}", path.display())]
    Text { path: PathBuf, cause: std::io::Error },
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl RebuildError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RebuildError::Nothing => Some("`stead disk restore` writes it onto a device of at least its size"),
            RebuildError::Pools { .. } => {
                Some("make the group and a volume of the image's size yourself, and restore the image onto the volume")
            }
            RebuildError::NotEmpty { .. } => Some("name another device, or clear this one with `wipefs --all`"),
            RebuildError::Exists { .. } => Some("rename or remove that one first: both cannot be there"),
            _ => None,
        }
    }
}

/// Where the passphrase of a new container comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passphrase {
    /// A file of the user's, whose content it is.
    File(PathBuf),
    /// Whoever sits at the terminal is asked, by cryptsetup itself.
    Asked,
}

/// A structure that can be made anew, looked at before it is.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// From the bottom up.
    layers: Vec<Layer>,
    /// The devices at the bottom.
    devices: Vec<PathBuf>,
}

impl Rebuild {
    /// Checks that it can be done; changes nothing. `layers` are from the volume down, as they were recorded.
    pub fn plan(layers: &[Layer], devices: &[PathBuf], programs: &dyn Programs) -> Result<Rebuild, RebuildError> {
        layers.iter().flat_map(names_in).try_for_each(check_name)?;
        let layers: Vec<Layer> = layers.iter().rev().cloned().collect();
        let bottom = layers.first().ok_or(RebuildError::Nothing)?;
        let needs: Vec<(String, u64)> = match bottom {
            Layer::Lvm(group) => group.physical.iter().map(|one| (one.device.clone(), one.size)).collect(),
            Layer::Luks(container) => vec![(container.device.clone(), 0)],
        };
        if needs.len() != devices.len() {
            let were = needs.into_iter().map(|(device, _)| device).collect::<Vec<_>>();
            return Err(RebuildError::Count { wanted: were.len(), given: devices.len(), were });
        }
        layers.iter().try_for_each(|layer| is_new(layer, programs))?;
        devices.iter().zip(needs).try_for_each(|(device, (_, needed))| is_empty(device, needed))?;
        Ok(Rebuild { layers, devices: devices.to_vec() })
    }

    /// What will be done, a line each.
    pub fn steps(&self) -> Vec<String> {
        let mut devices = self.devices.clone();
        let mut steps = Vec::new();
        for layer in &self.layers {
            let on = devices.iter().map(|device| device.display().to_string()).collect::<Vec<_>>().join(", ");
            steps.push(match layer {
                Layer::Lvm(Group { group, .. }) => format!("make the volume group {group} on {on}"),
                Layer::Luks(Container { version, name, .. }) => {
                    format!("make an encrypted container (LUKS{version}) with a new key on {on}, opened as {name}")
                }
            });
            devices = on_top(layer).into_iter().collect();
        }
        steps
    }

    /// Does it; `text` is a new file for what LVM wants to read. Ends at the first step that fails; what was made until then
    /// stays.
    pub fn execute(&self, passphrase: &Passphrase, text: &Path, programs: &dyn Programs) -> Result<(), RebuildError> {
        let mut devices = self.devices.clone();
        for layer in &self.layers {
            match layer {
                Layer::Lvm(group) => make_group(group, &devices, text, programs)?,
                Layer::Luks(container) => {
                    devices.iter().try_for_each(|device| make_container(container, device, passphrase, programs))?;
                }
            }
            devices = on_top(layer).into_iter().collect();
        }
        Ok(())
    }
}

/// The device that the next layer lies on; of a group the imaged volume.
fn on_top(layer: &Layer) -> Option<PathBuf> {
    super::place_of(std::slice::from_ref(layer))
}

/// What becomes an argument of a program, or a path.
fn names_in(layer: &Layer) -> Vec<&str> {
    match layer {
        Layer::Lvm(Group { group, volume, physical, .. }) => {
            [&**group, volume].into_iter().chain(physical.iter().map(|one| &*one.uuid)).collect()
        }
        Layer::Luks(Container { uuid, name, cipher, .. }) => vec![uuid, name, cipher],
    }
}

/// A manifest may lie: a name is never an option, nor a way out of a folder.
fn check_name(name: &str) -> Result<(), RebuildError> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-:".contains(&byte);
    match name.bytes().all(is_known) && !name.is_empty() && !name.starts_with(['-', '.']) && name.len() < 256 {
        true => Ok(()),
        false => Err(RebuildError::Name { name: name.to_owned() }),
    }
}

fn is_new(layer: &Layer, programs: &dyn Programs) -> Result<(), RebuildError> {
    let (is_there, what, name) = match layer {
        Layer::Lvm(Group { group, has_pools: true, .. }) => return Err(RebuildError::Pools { group: group.clone() }),
        Layer::Lvm(Group { group, .. }) => {
            let said = programs.run("vgs", &["--noheadings", "-o", "vg_name"])?;
            (said.lines().any(|line| line.trim() == group), "volume group", group)
        }
        Layer::Luks(Container { name, .. }) => (Path::new("/dev/mapper").join(name).exists(), "mapped device", name),
    };
    if is_there { Err(RebuildError::Exists { what, name: name.clone() }) } else { Ok(()) }
}

fn is_empty(device: &Path, needed: u64) -> Result<(), RebuildError> {
    let look = |cause| RebuildError::Look { device: device.to_owned(), cause };
    let size = BlockDevice::at(device).and_then(|block| block.size()).map_err(look)?;
    if size < needed {
        return Err(RebuildError::TooSmall { device: device.to_owned(), size, needed });
    }
    let what = what_is_on(device).map_err(look)?;
    what.map_or(Ok(()), |what| Err(RebuildError::NotEmpty { device: device.to_owned(), what }))
}

/// What speaks against overwriting a device, in words; `None` if nobody uses it and nothing is known to be on it.
pub fn what_is_on(device: &Path) -> std::io::Result<Option<String>> {
    match DirectFile::open(device, Claim::Exclusive) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => return Ok(Some("it is in use".to_owned())),
        Err(error) => return Err(error),
    }
    let survey = LiveSurvey::open(device)?;
    Ok(match (survey.survey().table.scheme, survey.survey().volumes.first()) {
        (Scheme::None, Some(volume)) if volume.usage.kind != Kind::Unknown => {
            Some(format!("{} is on it", volume.usage.kind))
        }
        (Scheme::None, _) => None,
        _ => Some("it has a partition table".to_owned()),
    })
}

fn make_group(group: &Group, devices: &[PathBuf], text: &Path, programs: &dyn Programs) -> Result<(), RebuildError> {
    let failed = |cause| RebuildError::Text { path: text.to_owned(), cause };
    std::fs::write(text, &group.metadata).map_err(failed)?;
    let file = text.display().to_string();
    let made = group.physical.iter().zip(devices).try_for_each(|(physical, device)| {
        let device = device.display().to_string();
        let args = ["--yes", "--uuid", &physical.uuid, "--restorefile", &file, &device];
        programs.run("pvcreate", &args).map(drop)
    });
    let made = made.and_then(|()| programs.run("vgcfgrestore", &["--yes", "--file", &file, &group.group]).map(drop));
    let made = made.and_then(|()| programs.run("vgchange", &["--activate", "y", &group.group]).map(drop));
    std::fs::remove_file(text).map_err(failed)?;
    Ok(made?)
}

fn make_container(
    container: &Container,
    device: &Path,
    passphrase: &Passphrase,
    programs: &dyn Programs,
) -> Result<(), RebuildError> {
    let (kind, bits) = (format!("luks{}", container.version), container.key_bits.to_string());
    let (sector, device) = (container.sector.to_string(), device.display().to_string());
    let mut format = vec!["--batch-mode", "--type", &kind, "--uuid", &container.uuid, "--cipher", &container.cipher];
    format.extend(["--key-size", &bits]);
    if container.version == 2 {
        format.extend(["--sector-size", &sector]);
    }
    let mut open = vec![];
    let file = match passphrase {
        Passphrase::File(file) => Some(file.display().to_string()),
        Passphrase::Asked => None,
    };
    match &file {
        Some(file) => [&mut format, &mut open].into_iter().for_each(|args| args.extend(["--key-file", file])),
        None => format.push("--verify-passphrase"),
    }
    format.extend(["luksFormat", &device]);
    open.extend(["open", &device, &container.name]);
    programs.ask("cryptsetup", &format)?;
    Ok(programs.ask("cryptsetup", &open)?)
}

#[cfg(test)]
mod tests {
    use super::super::Physical;
    use super::*;
    use crate::provider::script::Script;

    fn group() -> Group {
        Group {
            group: "vg".into(),
            volume: "root".into(),
            metadata: "vg {}\n".into(),
            physical: vec![Physical { device: "/dev/mapper/plain".into(), uuid: "id".into(), size: 0 }],
            has_pools: false,
        }
    }

    fn container() -> Container {
        Container {
            version: 2,
            uuid: "u".into(),
            name: "stead-test-plain".into(),
            cipher: "aes-xts-plain64".into(),
            key_bits: 512,
            sector: 4096,
            device: "/dev/vda".into(),
        }
    }

    #[test]
    fn what_cannot_be_made_is_refused_before_anything_is_done() {
        let script = Script::default().says("vgs", "  vg\n");
        let no =
            |layers: &[Layer], devices: &[PathBuf]| Rebuild::plan(layers, devices, &script).unwrap_err().to_string();
        assert!(no(&[], &[]).contains("nothing"));
        assert!(no(&[Layer::Lvm(group())], &[]).contains("1 devices are needed"));
        assert!(no(&[Layer::Lvm(group())], &["/dev/null".into()]).contains("called vg"));
        let pools = Layer::Lvm(Group { has_pools: true, ..group() });
        assert!(no(&[pools], &["/dev/null".into()]).contains("pools"));
        assert!(no(&[Layer::Luks(container())], &["/dev/null".into()]).contains("not a block device"));
        assert!(script.lines.into_inner().iter().all(|line| line.starts_with("vgs")));
    }

    #[test]
    fn names_that_are_options_or_paths_are_refused() {
        for name in ["", "-rf", "../../etc", "a/b", "a b", "."] {
            let layer = Layer::Lvm(Group { group: name.into(), ..group() });
            let error = Rebuild::plan(&[layer], &["/dev/null".into()], &Script::default()).unwrap_err();
            assert!(matches!(error, RebuildError::Name { .. }), "{error}");
        }
    }

    #[test]
    fn a_group_in_a_container_is_made_from_the_bottom_up() {
        let room = tempfile::tempdir().unwrap();
        let rebuild =
            Rebuild { layers: vec![Layer::Luks(container()), Layer::Lvm(group())], devices: vec!["/dev/sdz".into()] };
        let steps = rebuild.steps();
        assert!(steps[0].contains("/dev/sdz") && steps[1].contains("on /dev/mapper/stead-test-plain"), "{steps:?}");
        let script = Script::default();
        let passphrase = Passphrase::File("/key".into());
        rebuild.execute(&passphrase, &room.path().join("text"), &script).unwrap();
        let lines = script.lines.into_inner();
        assert!(
            lines[0].starts_with("cryptsetup --batch-mode --type luks2 --uuid u --cipher aes-xts-plain64"),
            "{lines:?}"
        );
        assert!(lines[0].ends_with("--key-file /key luksFormat /dev/sdz"), "{lines:?}");
        assert_eq!(lines[1], "cryptsetup --key-file /key open /dev/sdz stead-test-plain");
        assert!(lines[2].starts_with("pvcreate --yes --uuid id --restorefile"), "{lines:?}");
        assert!(lines[2].ends_with("/dev/mapper/stead-test-plain"), "{lines:?}");
        assert!(lines[3].starts_with("vgcfgrestore") && lines[4] == "vgchange --activate y vg", "{lines:?}");
        assert!(!room.path().join("text").exists());
    }
}
