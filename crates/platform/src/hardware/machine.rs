//! The rest of the hardware that a disk is moved between: how it boots, and its network cards.

use std::path::Path;

use super::System;

/// How the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootMode {
    /// By EFI firmware.
    Efi,
    /// By a BIOS, or by something that does not say.
    Bios,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkCard {
    /// The kernel's name.
    pub name: String,
    /// Its hardware address.
    pub address: Option<String>,
    /// The driver's name.
    pub driver: Option<String>,
}

impl System {
    /// How the machine was started.
    pub fn boot_mode(&self) -> BootMode {
        if self.root.join("sys/firmware/efi").is_dir() { BootMode::Efi } else { BootMode::Bios }
    }

    /// Network cards, by name; only those that are hardware.
    pub fn network_cards(&self) -> Vec<NetworkCard> {
        let folder = Path::new("sys/class/net");
        let names = self.names(folder).unwrap_or_default();
        let is_hardware = |name: &String| self.root.join(folder).join(name).join("device").exists();
        let card = |name: String| {
            let own = folder.join(&name);
            let driver = std::fs::read_link(self.root.join(&own).join("device/driver")).ok();
            let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
            NetworkCard { address: self.text(&own.join("address")), driver, name }
        };
        names.into_iter().filter(is_hardware).map(card).collect()
    }

    /// Maker and product name of the machine, as its firmware says.
    pub fn product(&self) -> Option<String> {
        let text = |file: &str| self.text(&Path::new("sys/class/dmi/id").join(file)).filter(|text| !text.is_empty());
        let words: Vec<String> = [text("sys_vendor"), text("product_name")].into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// The system's own names for this machine, as far as they can be read: that of the installation, and that of the
    /// hardware, which only root may read. A copy on other hardware has another one of them.
    pub fn identities(&self) -> Vec<String> {
        let names = [("machine-id", "etc/machine-id"), ("product-uuid", "sys/class/dmi/id/product_uuid")];
        let known = names.iter().filter_map(|(name, file)| {
            let text = self.text(Path::new(file)).filter(|text| !text.is_empty())?;
            Some(format!("{name} {}", text.to_lowercase()))
        });
        known.collect()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> Option<u64> {
        let text = self.text(Path::new("proc/meminfo"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }
}
