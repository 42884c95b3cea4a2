//! What a volume lies in: the group of LVM, the encrypted container. Recorded with the volume's image, and made anew on an
//! empty disk, so that the image has a place to go to.
//!
//! An image of a whole disk has all of it in its bytes, and needs none of this.

use std::io;
use std::path::{Path, PathBuf};

use platform::BlockDevice;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::provider::{ProgramError, Programs};

mod rebuild;

pub use rebuild::{Passphrase, Rebuild, RebuildError, what_is_on};

/// One thing that holds volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Layer {
    /// A volume of a volume group.
    Lvm(Group),
    /// An encrypted container.
    Luks(Container),
}

/// A volume group of LVM, and which of its volumes was imaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The group's name.
    pub group: String,
    /// The volume's name.
    pub volume: String,
    /// The group as `vgcfgbackup` writes it.
    pub metadata: String,
    /// The physical volumes, in the order in which devices for them are named.
    pub physical: Vec<Physical>,
    /// It has pools whose own records are not in the text.
    #[serde(default)]
    pub has_pools: bool,
}

/// Prints a group's text. `vgcfgbackup` replaces the file that it is given by a new one, so it must never get `/dev/stdout`.
const RECORD: &str = "f=$(mktemp -p /run) || exit 1; vgcfgbackup --file \"$f\" \"$1\" >/dev/null && cat \"$f\"; s=$?; rm -f \"$f\"; exit $s";

/// A physical volume of LVM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Physical {
    /// The device that it was.
    pub device: String,
    /// Its id.
    pub uuid: String,
    /// Bytes of the device.
    pub size: u64,
}

/// An encrypted container of LUKS. No key is recorded: a new container has a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// 1 or 2.
    pub version: u32,
    /// Its UUID.
    pub uuid: String,
    /// What the volume in it is called.
    pub name: String,
    /// Such as `aes-xts-plain64`.
    pub cipher: String,
    /// Bits of the volume's key.
    pub key_bits: u64,
    /// Bytes that are encrypted at once.
    pub sector: u32,
    /// The device that it was on.
    pub device: String,
}

/// Why it is not known what a volume lies in.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StructureError {
    #[error("cannot look at {device}: {cause}")]
    Look { device: String, cause: io::Error },
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("the structure of {device} is not understood: {said:?}")]
    NotUnderstood { device: String, said: String },
}

/// Layers above each other.
const DEEPEST: usize = 8;

/// What a device lies in, from the device down; nothing for disks and partitions, and for what is mapped in other ways.
pub fn structure_of(device: &Path, programs: &dyn Programs) -> Result<Vec<Layer>, StructureError> {
    let mut layers = Vec::new();
    let mut next = Some(BlockDevice::at(device).map_err(|cause| looked(device, cause))?);
    while let Some(device) = next.take().filter(|_| layers.len() < DEEPEST) {
        let Ok(uuid) = device.text("dm/uuid") else { break };
        let name = device.text("dm/name").map_err(|cause| looked(&device.node(), cause))?;
        let layer = match uuid.split_once('-').map_or(&*uuid, |(kind, _)| kind) {
            "LVM" => Layer::Lvm(group(&name, programs)?),
            "CRYPT" if uuid.starts_with("CRYPT-LUKS") => Layer::Luks(container(&name, &uuid, &device, programs)?),
            _ => break,
        };
        layers.push(layer);
        next = device.parts().map_err(|cause| looked(&device.node(), cause))?.into_iter().next();
    }
    Ok(layers)
}

fn looked(device: &Path, cause: io::Error) -> StructureError {
    StructureError::Look { device: device.display().to_string(), cause }
}

fn rows(programs: &dyn Programs, program: &str, what: &str, args: &[&str]) -> Result<Vec<Value>, StructureError> {
    let common = ["--reportformat", "json", "--units", "b", "--nosuffix"];
    let said = programs.run(program, &[&common, args].concat())?;
    let parsed: Option<Value> = serde_json::from_str(&said).ok();
    let rows = parsed.and_then(|report| report["report"][0][what].as_array().cloned());
    rows.ok_or_else(|| StructureError::NotUnderstood { device: args.join(" "), said })
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

fn group(mapped: &str, programs: &dyn Programs) -> Result<Group, StructureError> {
    let node = Path::new("/dev/mapper").join(mapped).display().to_string();
    let row = rows(programs, "lvs", "lv", &["-o", "vg_name,lv_name", &node])?.into_iter().next().unwrap_or_default();
    let (group, volume) = (text(&row, "vg_name"), text(&row, "lv_name"));
    if group.is_empty() || volume.is_empty() {
        return Err(StructureError::NotUnderstood { device: node, said: row.to_string() });
    }
    let of_group = format!("vg_name={group}");
    let physical = rows(programs, "pvs", "pv", &["-o", "pv_name,pv_uuid,dev_size", "-S", &of_group])?;
    let physical = physical.iter().map(|row| Physical {
        device: text(row, "pv_name"),
        uuid: text(row, "pv_uuid"),
        size: text(row, "dev_size").parse().unwrap_or(0),
    });
    let metadata = programs.run("sh", &["-c", RECORD, "sh", &group])?;
    let has_pools =
        metadata.lines().any(|line| matches!(line.trim(), "type = \"thin-pool\"" | "type = \"cache-pool\""));
    Ok(Group { volume, metadata, physical: physical.collect(), has_pools, group })
}

fn container(
    name: &str,
    uuid: &str,
    device: &BlockDevice,
    programs: &dyn Programs,
) -> Result<Container, StructureError> {
    let table = programs.run("dmsetup", &["table", name])?;
    let below = device.parts().ok().and_then(|parts| parts.into_iter().next());
    let below = below.map(|below| below.node().display().to_string()).unwrap_or_default();
    described(name, uuid, &table, below)
        .ok_or_else(|| StructureError::NotUnderstood { device: name.to_owned(), said: uuid.to_owned() })
}

/// `CRYPT-LUKS2-32 digits-NAME`, and `0 LENGTH crypt CIPHER KEY IV DEVICE OFFSET …`; of the key only its length is looked at.
fn described(name: &str, uuid: &str, table: &str, device: String) -> Option<Container> {
    let mut words = uuid.strip_prefix("CRYPT-LUKS")?.splitn(3, '-');
    let version = words.next()?.parse().ok()?;
    let digits = words.next().filter(|digits| digits.len() == 32 && digits.is_ascii())?;
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    let words: Vec<&str> = table.split_ascii_whitespace().collect();
    let (cipher, key) = (*words.get(3)?, *words.get(4)?);
    // A key in the kernel's keyring is named with its length in bytes, any other is shown as zeros.
    let key_bits = match key.strip_prefix(':') {
        Some(named) => named.split(':').next()?.parse::<u64>().ok()?.checked_mul(8)?,
        None => key.len() as u64 * 4,
    };
    let sector =
        words.iter().find_map(|word| word.strip_prefix("sector_size:")).map_or(Some(512), |size| size.parse().ok())?;
    let (name, cipher, uuid) = (name.to_owned(), cipher.to_owned(), parts.join("-"));
    Some(Container { version, uuid, name, cipher, key_bits, sector, device })
}

/// Where the volume will be once its structure is made anew.
pub fn place_of(layers: &[Layer]) -> Option<PathBuf> {
    Some(match layers.first()? {
        Layer::Lvm(Group { group, volume, .. }) => Path::new("/dev").join(group).join(volume),
        Layer::Luks(Container { name, .. }) => Path::new("/dev/mapper").join(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::script::Script;

    const UUID: &str = "CRYPT-LUKS2-0123456789abcdef0123456789abcdef-plain";

    #[test]
    fn containers_are_described_without_their_keys() {
        let table = "0 8 crypt aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 254:0 32768 1 sector_size:4096\n";
        let found = described("plain", UUID, table, "/dev/vda".to_owned()).unwrap();
        assert_eq!(found.uuid, "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!((found.version, &*found.cipher, found.key_bits, found.sector), (2, "aes-xts-plain64", 512, 4096));
        let table = format!("0 8 crypt aes-cbc-essiv:sha256 {} 0 254:0 4096", "0".repeat(64));
        let found = described("plain", &UUID.replace("LUKS2", "LUKS1"), &table, String::new()).unwrap();
        assert_eq!((found.version, found.key_bits, found.sector), (1, 256, 512));
        for (uuid, table) in
            [("CRYPT-PLAIN-x", table.as_str()), (UUID, "0 8 crypt"), ("CRYPT-LUKS2-0123-plain", &table)]
        {
            assert_eq!(described("plain", uuid, table, String::new()), None, "{uuid}");
        }
    }

    #[test]
    fn a_group_is_recorded_with_its_text_and_its_physical_volumes() {
        let script = Script::default()
            .says("lvs", r#"{"report": [{"lv": [{"vg_name":"vg","lv_name":"root"}]}]}"#)
            .says("pvs", r#"{"report": [{"pv": [{"pv_name":"/dev/vda","pv_uuid":"id","dev_size":"1048576"}]}]}"#)
            .says("sh", "vg {\n\ttype = \"thin-pool\"\n}\n");
        let found = group("vg-root", &script).unwrap();
        assert_eq!((&*found.group, &*found.volume, found.has_pools), ("vg", "root", true));
        assert_eq!(found.physical, [Physical { device: "/dev/vda".into(), uuid: "id".into(), size: 1 << 20 }]);
        assert_eq!(found.metadata, "vg {\n\ttype = \"thin-pool\"\n}\n");
        let layers = [Layer::Lvm(found)];
        assert_eq!(place_of(&layers).unwrap(), Path::new("/dev/vg/root"));
        let text = serde_json::to_string(&layers).unwrap();
        assert!(text.contains(r#""kind":"lvm""#) && serde_json::from_str::<Vec<Layer>>(&text).unwrap() == layers);
        assert!(group("x", &Script::default().says("lvs", "{}")).is_err());
    }
}
