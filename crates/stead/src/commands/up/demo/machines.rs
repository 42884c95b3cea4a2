//! Who and what the demonstration invents, and how it fared.

use fleet::MachineClass::{self, Laptop, Server, Workstation};

/// An invented machine.
pub(super) struct Invented {
    /// What people call it.
    pub(super) name: &'static str,
    /// What kind it is.
    pub(super) class: MachineClass,
    /// Gigabytes on its disks.
    pub(super) gigabytes: u64,
    /// How it fared.
    pub(super) fate: Fate,
}

/// How a machine fared.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// Every night was good.
    Good,
    /// Good when it was switched on: not on these of ten days.
    OftenOff(u64),
    /// It failed on so many days, up to today, because of this.
    Failing(u64, &'static str),
    /// Last night missed something.
    Missed(&'static str, &'static str),
    /// No backup for so many days, though it was in use.
    Late(u64),
    /// A backup goes on, at so many per cent.
    Running(u64),
    /// Its drill is from so many days ago.
    OldDrill(u64),
    /// It joined yesterday.
    New,
}

const fn one(name: &'static str, class: MachineClass, gigabytes: u64, fate: Fate) -> Invented {
    Invented { name, class, gigabytes, fate }
}

/// Clients, their zones and their machines.
pub(super) const CLIENTS: [(&str, &str, &[Invented]); 5] = [
    (
        "Harbour Dental",
        "Europe/London",
        &[
            one("HD-SRV1", Server, 840, Fate::Failing(3, "the data disk is full")),
            one("HD-XRAY", Server, 1_900, Fate::Good),
            one("reception-1", Workstation, 180, Fate::Good),
            one("reception-2", Workstation, 190, Fate::Good),
            one("surgery-1", Workstation, 210, Fate::OftenOff(2)),
        ],
    ),
    (
        "Northgate Legal",
        "Europe/London",
        &[
            one("anna-laptop", Laptop, 187, Fate::Running(61)),
            one("ben-laptop", Laptop, 240, Fate::OftenOff(4)),
            one("NL-FILES", Server, 2_300, Fate::Good),
            one("NL-MAIL", Server, 610, Fate::Missed("/var/lib/mail/queue/8f2c.lock", "permission denied")),
            one("clerk-3", Workstation, 150, Fate::Good),
        ],
    ),
    (
        "Bäckerei Öztürk & Söhne",
        "Europe/Vienna",
        &[
            one("kasse-1", Workstation, 90, Fate::Good),
            one("kasse-2", Workstation, 90, Fate::Good),
            one("büro", Workstation, 320, Fate::Late(9)),
            one("nas", Server, 3_100, Fate::Good),
        ],
    ),
    (
        "Fenwick Architects",
        "Europe/London",
        &[
            one("plot-server", Server, 4_200, Fate::OldDrill(52)),
            one("studio-1", Workstation, 780, Fate::Good),
            one("studio-2", Workstation, 810, Fate::Running(18)),
            one("studio-3", Workstation, 640, Fate::Good),
            one("site-laptop", Laptop, 260, Fate::OftenOff(5)),
        ],
    ),
    (
        "St Mary's Community Trust",
        "Europe/Dublin",
        &[
            one("trust-srv", Server, 520, Fate::Good),
            one("hall-pc", Workstation, 110, Fate::OftenOff(3)),
            one("accounts", Workstation, 140, Fate::Good),
            one("volunteer-laptop", Laptop, 120, Fate::New),
        ],
    ),
];
