//! Roads: networks that lead from a namespace of its own to this machine. Each can be cut, slowed, and taken instead of
//! another one, with another address; what came over it is counted.

use std::path::PathBuf;
use std::process::Command;

use testkit::loop_device::succeeds;

/// How much goes into one packet: so much that what the packets themselves cost does not count.
const MTU: &str = "9000";

/// The place of the server and of those who travel, as long as this lives. It is reached at one address by every road.
pub(crate) struct Country {
    /// The server's address.
    pub(crate) server: String,
    prefix: String,
    tag: String,
    namespaces: Vec<String>,
}

impl Country {
    pub(crate) fn new() -> Country {
        let number = std::process::id();
        let prefix = format!("10.{}.{}", 200 + number % 50, number / 50 % 250);
        let country = Country {
            server: format!("{prefix}.1"),
            prefix,
            tag: format!("{:x}", number & 0xf_ffff),
            namespaces: Vec::new(),
        };
        succeeds("ip", &["address", "add", &format!("{}/32", country.server), "dev", "lo"]);
        country
    }

    /// A namespace for somebody, in which only its own loopback is there.
    pub(crate) fn namespace(&mut self, who: &str) -> String {
        let name = format!("stead-{who}-{}", self.tag);
        succeeds("ip", &["netns", "add", &name]);
        self.namespaces.push(name.clone());
        within(&name, &["ip", "link", "set", "lo", "up"]);
        name
    }

    /// A road out of a namespace that nobody takes yet; roads have numbers from 1.
    pub(crate) fn road(&self, namespace: &str, number: u8) -> Road {
        let (outer, inner) = (format!("sd{}o{number}", self.tag), format!("sd{}i{number}", self.tag));
        succeeds("ip", &["link", "add", &outer, "mtu", MTU, "type", "veth", "peer", "name", &inner, "mtu", MTU]);
        succeeds("ip", &["link", "set", &inner, "netns", namespace]);
        let (here, there) = (self.address(number, 1), self.address(number, 2));
        succeeds("ip", &["address", "add", &format!("{here}/30"), "dev", &outer]);
        succeeds("ip", &["link", "set", &outer, "up"]);
        // Packets are counted as they would be on a wire, and not as the kernel bundles them.
        within(namespace, &["ip", "link", "set", &inner, "gso_max_segs", "1"]);
        Road { namespace: namespace.to_owned(), outer, inner, here, there }
    }

    fn address(&self, road: u8, host: u8) -> String {
        format!("{}.{}", self.prefix, 64 + road * 4 + host)
    }
}

impl Drop for Country {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            _ = Command::new("ip").args(["netns", "delete", namespace]).output();
        }
        _ = Command::new("ip").args(["address", "delete", &format!("{}/32", self.server), "dev", "lo"]).output();
    }
}

/// Runs a program in a namespace, which sees the same files as everybody.
pub(crate) fn command_within(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program);
    command
}

fn within(namespace: &str, words: &[&str]) {
    let output = command_within(namespace, words[0]).args(&words[1..]).output().expect("nsenter runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A road.
pub(crate) struct Road {
    namespace: String,
    outer: String,
    inner: String,
    here: String,
    /// The traveller's address on it.
    pub(crate) there: String,
}

impl Road {
    fn does(&self, words: &[&str]) {
        within(&self.namespace, words);
    }

    /// It is taken from now on.
    pub(crate) fn open(&self) {
        self.does(&["ip", "address", "add", &format!("{}/30", self.there), "dev", &self.inner]);
        self.does(&["ip", "link", "set", &self.inner, "up"]);
        self.does(&["ip", "route", "replace", "default", "via", &self.here]);
    }

    /// It ends: no link, no address, no way out.
    pub(crate) fn cut(&self) {
        self.does(&["ip", "link", "set", &self.inner, "down"]);
        self.does(&["ip", "address", "flush", "dev", &self.inner]);
    }

    /// So many bytes in a second go over it at most.
    pub(crate) fn limit(&self, bytes: u64) {
        let (bits, burst) = (format!("{}bit", bytes * 8), format!("{}", (bytes / 20).max(32 << 10)));
        let tbf = ["tbf", "rate", &bits, "burst", &burst, "latency", "300ms"];
        self.does(&[&["tc", "qdisc", "replace", "dev", &self.inner, "root"][..], &tbf].concat());
    }

    /// Bytes that came here over it so far.
    pub(crate) fn received(&self) -> u64 {
        let file = PathBuf::from(format!("/sys/class/net/{}/statistics/rx_bytes", self.outer));
        std::fs::read_to_string(file).expect("a number").trim().parse().expect("digits")
    }
}
