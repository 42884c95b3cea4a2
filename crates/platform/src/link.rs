//! Link: whether there is a network, whether it is paid by volume, and whether it is still the same one. NetworkManager is
//! asked where there is one, else the kernel's routes.

use std::fs;
use std::path::Path;

use crate::bus::{Bus, Interface};

/// Whether there is a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nobody knows.
    #[default]
    Unknown,
    /// There is.
    Up,
    /// There is one that somebody must sign in to.
    Captive,
    /// There is none.
    Down,
}

/// What is known of the link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether there is a network.
    pub reach: Reach,
    /// Whether it is paid by volume; none: nobody knows.
    pub metered: Option<bool>,
}

const MANAGER: &str = "org.freedesktop.NetworkManager";

impl Link {
    /// As NetworkManager says; none if it does not answer.
    pub fn of_bus(bus: &Bus) -> Option<Link> {
        let manager = Interface { service: MANAGER, path: "/org/freedesktop/NetworkManager", name: MANAGER };
        let known = bus.properties(manager)?;
        let state: u32 = known.get("State")?;
        let connectivity: u32 = known.get("Connectivity").unwrap_or_default();
        let metered = match known.get::<u32>("Metered") {
            Some(1 | 3) => Some(true),
            Some(2 | 4) => Some(false),
            _ => None,
        };
        Some(Link { reach: reach(state, connectivity), metered })
    }

    /// As the kernel's routes say, below a root directory: a way out means a network, none means nothing, as a server may
    /// be on this machine or beside it.
    pub fn of_kernel(root: &Path) -> Link {
        let reach = if ways_out(root).is_empty() { Reach::Unknown } else { Reach::Up };
        Link { reach, metered: None }
    }
}

/// NetworkManager's numbers.
fn reach(state: u32, connectivity: u32) -> Reach {
    match (state, connectivity) {
        (_, 2) => Reach::Captive,
        (50.., _) => Reach::Up,
        // It leaves alone what others manage.
        (0 | 10, _) => Reach::Unknown,
        _ => Reach::Down,
    }
}

/// A text that is the same as long as the machine stays on its network: its ways out and its own addresses.
pub fn network_name(root: &Path) -> String {
    let mut parts = ways_out(root);
    parts.extend(addresses(&fs::read_to_string(root.join("proc/net/fib_trie")).unwrap_or_default()));
    parts.sort();
    parts.dedup();
    parts.join(" ")
}

/// Interfaces and gateways of the default routes.
fn ways_out(root: &Path) -> Vec<String> {
    let text = |file: &str| fs::read_to_string(root.join("proc/net").join(file)).unwrap_or_default();
    let mut ways = Vec::new();
    for line in text("route").lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [name, "00000000", gateway, ..] = words.as_slice() {
            ways.push(format!("{name}:{gateway}"));
        }
    }
    for line in text("ipv6_route").lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [target, "00", _, _, gateway, .., name] = words.as_slice()
            && target.bytes().all(|byte| byte == b'0')
            && *name != "lo"
        {
            ways.push(format!("{name}:{gateway}"));
        }
    }
    ways
}

/// The machine's own addresses, but for the loopback's.
fn addresses(trie: &str) -> Vec<String> {
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[1].starts_with("/32 host LOCAL"));
    let found = pairs.filter_map(|pair| pair[0].strip_prefix("|-- "));
    found.filter(|address| !address.starts_with("127.")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_way_out_or_another_address_is_another_network() {
        let room = tempfile::tempdir().unwrap();
        let net = room.path().join("proc/net");
        fs::create_dir_all(&net).unwrap();
        assert_eq!((Link::of_kernel(room.path()), network_name(room.path())), (Link::default(), String::new()));
        let head = "Iface\tDestination\tGateway\tFlags\n";
        fs::write(net.join("route"), format!("{head}wlan0\t00000000\t0102A8C0\t0003\nwlan0\t0002A8C0\t00000000\t1\n"))
            .unwrap();
        let trie = "Local:\n  |-- 127.0.0.1\n     /32 host LOCAL\n  |-- 192.168.2.7\n     /32 host LOCAL\n";
        fs::write(net.join("fib_trie"), trie).unwrap();
        let home = network_name(room.path());
        assert_eq!(home, "192.168.2.7 wlan0:0102A8C0");
        assert_eq!(Link::of_kernel(room.path()).reach, Reach::Up);
        fs::write(net.join("fib_trie"), trie.replace("2.7", "2.8")).unwrap();
        assert_ne!(network_name(room.path()), home);
    }

    #[test]
    fn the_managers_numbers_are_understood() {
        assert_eq!(reach(70, 4), Reach::Up);
        assert_eq!(reach(70, 2), Reach::Captive);
        assert_eq!(reach(20, 1), Reach::Down);
        assert_eq!(reach(10, 0), Reach::Unknown, "it manages nothing here");
    }
}
