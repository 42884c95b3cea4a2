//! Power: mains or battery, and how much is left of it. UPower is asked where there is one, else the kernel.

use std::fs;
use std::path::Path;

use crate::bus::{Bus, Interface};

/// What is known of the power supply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Whether the machine is on mains; none: nobody knows.
    pub mains: Option<bool>,
    /// What the battery holds, in per cent; none: there is none, or nobody knows.
    pub battery: Option<u8>,
}

const UPOWER: &str = "org.freedesktop.UPower";

impl Power {
    /// As UPower says; none if it does not answer.
    pub fn of_bus(bus: &Bus) -> Option<Power> {
        let of = |path, name| Interface { service: UPOWER, path, name };
        let on_battery: bool = bus.properties(of("/org/freedesktop/UPower", UPOWER))?.get("OnBattery")?;
        let display = of("/org/freedesktop/UPower/devices/DisplayDevice", "org.freedesktop.UPower.Device");
        let display = bus.properties(display);
        let present: Option<bool> = display.as_ref().and_then(|display| display.get("IsPresent"));
        let percent: Option<f64> = display.as_ref().and_then(|display| display.get("Percentage"));
        let battery = percent.filter(|_| present != Some(false)).map(|percent| percent.clamp(0.0, 100.0) as u8);
        Some(Power { mains: Some(!on_battery), battery })
    }

    /// As the kernel says, below a root directory.
    pub fn of_kernel(root: &Path) -> Power {
        let Ok(supplies) = fs::read_dir(root.join("sys/class/power_supply")) else { return Power::default() };
        let supplies: Vec<_> = supplies.filter_map(|entry| Supply::read(&entry.ok()?.path())).collect();
        let online = |kind: fn(&Supply) -> Option<bool>| {
            let known: Vec<bool> = supplies.iter().filter_map(kind).collect();
            (!known.is_empty()).then(|| known.contains(&true))
        };
        let mains = online(|supply| supply.online);
        let discharging = supplies.iter().any(|supply| supply.is_discharging);
        let mains = mains.or_else(|| supplies.iter().any(|supply| supply.battery.is_some()).then_some(!discharging));
        Power { mains, battery: supplies.iter().filter_map(|supply| supply.battery).min() }
    }
}

/// One supply.
struct Supply {
    /// Whether it is plugged in; none for batteries.
    online: Option<bool>,
    battery: Option<u8>,
    is_discharging: bool,
}

impl Supply {
    fn read(folder: &Path) -> Option<Supply> {
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok().map(|text| text.trim().to_owned());
        let kind = text("type")?;
        // Mice and headsets have batteries, too.
        if text("scope").as_deref() == Some("Device") {
            return None;
        }
        match kind.as_str() {
            "Battery" => Some(Supply {
                online: None,
                battery: text("capacity").and_then(|text| text.parse().ok()),
                is_discharging: text("status").as_deref() == Some("Discharging"),
            }),
            "Mains" | "USB" => {
                Some(Supply { online: text("online").map(|text| text != "0"), battery: None, is_discharging: false })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(root: &Path, name: &str, files: &[(&str, &str)]) {
        let folder = root.join("sys/class/power_supply").join(name);
        fs::create_dir_all(&folder).unwrap();
        for (file, text) in files {
            fs::write(folder.join(file), format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn a_laptop_is_on_battery_when_its_adapter_is_off_whatever_its_mouse_says() {
        let room = tempfile::tempdir().unwrap();
        let root = room.path();
        assert_eq!(Power::of_kernel(root), Power::default(), "nothing is known without the kernel's files");
        supply(root, "AC", &[("type", "Mains"), ("online", "0")]);
        supply(root, "BAT0", &[("type", "Battery"), ("capacity", "61"), ("status", "Discharging")]);
        supply(root, "mouse", &[("type", "Battery"), ("capacity", "3"), ("scope", "Device")]);
        assert_eq!(Power::of_kernel(root), Power { mains: Some(false), battery: Some(61) });
        supply(root, "AC", &[("online", "1")]);
        assert_eq!(Power::of_kernel(root).mains, Some(true));
    }

    #[test]
    fn without_an_adapter_the_battery_tells() {
        let room = tempfile::tempdir().unwrap();
        supply(room.path(), "BAT0", &[("type", "Battery"), ("capacity", "99"), ("status", "Discharging")]);
        assert_eq!(Power::of_kernel(room.path()), Power { mains: Some(false), battery: Some(99) });
    }
}
