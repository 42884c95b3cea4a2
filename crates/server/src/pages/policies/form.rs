//! A policy as a form: fields by name, as they are stored or were typed, and what they mean.

use std::collections::BTreeMap;

use fleet::{
    Destination, Drill, Keep, Policy, PolicyId, Schedule, Selection, TenantId, Times, WeekDay, Window, Within, Zone,
};
use jiff::civil::Time;
use serde_json::Value;

use crate::pages::client::sentence;
use crate::problem::Problem;

/// Fields by name; a box that is ticked is there.
pub(crate) type Fields = BTreeMap<String, String>;

const DAYS: [WeekDay; 7] = [
    WeekDay::Monday,
    WeekDay::Tuesday,
    WeekDay::Wednesday,
    WeekDay::Thursday,
    WeekDay::Friday,
    WeekDay::Saturday,
    WeekDay::Sunday,
];

const DRILLS: [(Drill, &str); 3] =
    [(Drill::FileSample, "drill-files"), (Drill::ImageCheck, "drill-image"), (Drill::BootTest, "drill-boot")];

/// A policy as it is typed.
pub(crate) struct PolicyForm {
    pub(crate) tenant: TenantId,
    pub(crate) id: Option<PolicyId>,
    pub(crate) fields: Fields,
}

fn day_field(day: WeekDay) -> String {
    format!("day-{day:?}").to_lowercase()
}

fn clock(time: Time) -> String {
    time.strftime("%H:%M").to_string()
}

pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

impl PolicyForm {
    /// What a new one begins with.
    pub(super) fn usual(tenant: TenantId, zone: &Zone) -> PolicyForm {
        let fields = [
            ("name", ""),
            ("paths", "/home\n/etc"),
            ("at", "20:00"),
            ("spread", "30"),
            ("zone", zone.name()),
            ("daily", "14"),
            ("weekly", "8"),
            ("monthly", "12"),
            ("drill-files", "on"),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        PolicyForm { tenant, id: None, fields }
    }

    /// One that is stored.
    pub(crate) fn of(policy: &Policy) -> Result<PolicyForm, Problem> {
        let mut form = PolicyForm { tenant: policy.tenant, id: Some(policy.id), fields: Fields::new() };
        form.put("name", &policy.name);
        for what in &policy.what {
            match what {
                Selection::Files { paths, excludes } => {
                    form.add("paths", paths);
                    form.add("excludes", excludes);
                }
                Selection::Disks { devices } => {
                    form.put("disks", "on");
                    form.add("devices", devices);
                }
            }
        }
        form.put_schedule(&policy.schedule)?;
        form.put_keep(&policy.keep);
        form.put_roaming(&policy.roaming);
        for copy in &policy.copies {
            form.put(&format!("copy-{copy}"), "on");
        }
        for (_, field) in DRILLS.into_iter().filter(|(drill, _)| policy.drills.contains(drill)) {
            form.put(field, "on");
        }
        Ok(form)
    }

    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.fields.insert(name.to_owned(), value.to_owned());
    }

    /// Several selections of a kind are shown as one.
    fn add(&mut self, name: &str, more: &[String]) {
        let before = lines(self.text(name));
        self.put(name, &before.iter().chain(more).cloned().collect::<Vec<_>>().join("\n"));
    }

    fn put_schedule(&mut self, schedule: &Schedule) -> Result<(), Problem> {
        let written = serde_json::to_value(&schedule.times);
        let written = written.map_err(|error| Problem::internal("write a schedule", error))?;
        let words = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        match written.get("cron").and_then(Value::as_str) {
            Some(cron) => self.put("cron", cron),
            None => {
                let at: Vec<_> = words(&written["days"]["at"])
                    .into_iter()
                    .map(|time| time.chars().take(5).collect::<String>())
                    .collect();
                self.put("at", &at.join(", "));
                for day in words(&written["days"]["on"]) {
                    self.put(&format!("day-{day}"), "on");
                }
            }
        }
        self.put("zone", schedule.zone.name());
        self.put("spread", &(schedule.spread / 60).to_string());
        let windows: Vec<_> = schedule.windows.iter().map(window_text).collect();
        self.put("windows", &windows.join("\n"));
        Ok(())
    }

    fn put_keep(&mut self, keep: &Keep) {
        let counts = [
            ("last", keep.last),
            ("hourly", keep.hourly),
            ("daily", keep.daily),
            ("weekly", keep.weekly),
            ("monthly", keep.monthly),
            ("yearly", keep.yearly),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            self.put(name, &count.to_string());
        }
        self.put("within", &keep.within.restic());
        self.put("tags", &keep.tags.join("\n"));
    }

    /// What stands in a field.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Whether a box is ticked.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Days of the week: field, name, whether ticked.
    pub(super) fn days(&self) -> Vec<(String, String, bool)> {
        let day = |day: WeekDay| (day_field(day), format!("{day:?}"), self.is_on(&day_field(day)));
        DAYS.into_iter().map(day).collect()
    }

    /// Drills: field, words, whether ticked.
    pub(super) fn drills(&self) -> Vec<(&'static str, &'static str, bool)> {
        DRILLS.into_iter().map(|(drill, field)| (field, drill.words(), self.is_on(field))).collect()
    }

    /// How long things are kept: field and words.
    pub(super) fn keeps(&self) -> [(&'static str, &'static str); 6] {
        [
            ("last", "The newest"),
            ("hourly", "Hourly"),
            ("daily", "Daily"),
            ("weekly", "Weekly"),
            ("monthly", "Monthly"),
            ("yearly", "Yearly"),
        ]
    }

    /// What was meant, or what is wrong, in a sentence.
    pub(crate) fn meant(&self, id: PolicyId, destinations: &[Destination]) -> Result<Policy, String> {
        let name = self.text("name").trim().to_owned();
        if name.is_empty() || name.chars().count() > 100 {
            return Err("A policy has a name of at most 100 characters.".into());
        }
        let copies = destinations.iter().filter(|found| self.is_on(&format!("copy-{}", found.id)));
        Ok(Policy {
            id,
            tenant: self.tenant,
            name,
            what: self.what()?,
            schedule: self.schedule()?,
            copies: copies.map(|found| found.id).collect(),
            keep: self.keep()?,
            drills: DRILLS.into_iter().filter(|(_, field)| self.is_on(field)).map(|(drill, _)| drill).collect(),
            roaming: self.roaming()?,
        })
    }

    fn what(&self) -> Result<Vec<Selection>, String> {
        let (paths, excludes) = (lines(self.text("paths")), lines(self.text("excludes")));
        let is_absolute = |path: &String| path.starts_with('/') || path.get(1..3) == Some(":\\");
        if let Some(path) = paths.iter().find(|path| !is_absolute(path)) {
            return Err(format!("{path:?} does not say where it is: a folder begins at the root, such as /home."));
        }
        let devices = lines(self.text("devices"));
        let disks = Selection::disks(devices).map_err(|error| sentence(&error))?;
        let files = (!paths.is_empty()).then_some(Selection::Files { paths, excludes });
        let disks = self.is_on("disks").then_some(disks);
        Ok(files.into_iter().chain(disks).collect())
    }

    fn schedule(&self) -> Result<Schedule, String> {
        let times = match self.text("cron").trim() {
            "" => {
                let at = self.text("at").split([',', ' ', '\n']).map(str::trim).filter(|time| !time.is_empty());
                let at = at.map(time_of_day).collect::<Result<Vec<_>, _>>()?;
                Times::weekly(DAYS.into_iter().filter(|day| self.is_on(&day_field(*day))).collect(), at)
            }
            cron => Times::cron(cron),
        };
        let windows = lines(self.text("windows")).iter().map(|line| window(line)).collect::<Result<_, _>>()?;
        Ok(Schedule {
            zone: Zone::named(self.text("zone").trim()).map_err(|error| sentence(&error))?,
            times: times.map_err(|error| sentence(&error))?,
            spread: self.count("spread", 24 * 60)? * 60,
            windows,
        })
    }

    fn keep(&self) -> Result<Keep, String> {
        Ok(Keep {
            last: self.count("last", 10_000)?,
            hourly: self.count("hourly", 10_000)?,
            daily: self.count("daily", 10_000)?,
            weekly: self.count("weekly", 10_000)?,
            monthly: self.count("monthly", 10_000)?,
            yearly: self.count("yearly", 1_000)?,
            within: within(self.text("within").trim())?,
            tags: lines(self.text("tags")),
        })
    }

    pub(super) fn count(&self, name: &str, most: u32) -> Result<u32, String> {
        match self.text(name).trim() {
            "" => Ok(0),
            text => match text.parse() {
                Ok(count) if count <= most => Ok(count),
                _ => Err(format!("{text:?} is no number up to {most}.")),
            },
        }
    }
}

fn time_of_day(text: &str) -> Result<Time, String> {
    Time::strptime("%H:%M", text).map_err(|_| format!("{text:?} is no time of day, such as 20:00."))
}

/// "friday, sunday 22:00-06:00"
pub(super) fn window_text(window: &Window) -> String {
    let days: Vec<_> = window.days.iter().map(|day| format!("{day:?}").to_lowercase()).collect();
    let span = format!("{}-{}", clock(window.from), clock(window.to));
    if days.is_empty() { span } else { format!("{} {span}", days.join(", ")) }
}

pub(super) fn window(line: &str) -> Result<Window, String> {
    let (days, span) = line.rsplit_once(' ').unwrap_or(("", line));
    let (from, to) = span.split_once('-').ok_or_else(|| format!("{line:?} is no span, such as 20:00-06:00."))?;
    let day = |word: &str| {
        let found = DAYS.into_iter().find(|day| format!("{day:?}").eq_ignore_ascii_case(word));
        found.ok_or_else(|| format!("{word:?} is no day of the week."))
    };
    let words = days.split([',', ' ']).filter(|word| !word.is_empty());
    Ok(Window { days: words.map(day).collect::<Result<_, _>>()?, from: time_of_day(from)?, to: time_of_day(to)? })
}

/// As restic writes it: `1y2m3d4h`.
fn within(text: &str) -> Result<Within, String> {
    let (mut found, mut digits) = (Within::default(), String::new());
    let wrong = || format!("{text:?} is no span: years, months, days, hours, such as 1y6m or 14d.");
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            'y' => &mut found.years,
            'm' => &mut found.months,
            'd' => &mut found.days,
            'h' => &mut found.hours,
            _ => return Err(wrong()),
        };
        *unit = std::mem::take(&mut digits).parse().ok().filter(|count| *count <= 10_000).ok_or_else(wrong)?;
    }
    if digits.is_empty() { Ok(found) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use fleet::{DestinationId, Metered, Power, Roaming, Speed, Uuid};

    use super::*;

    #[test]
    fn a_policy_that_is_shown_and_saved_again_is_the_same() {
        let policy = Policy {
            id: PolicyId::new(Uuid::from_u128(1)),
            tenant: TenantId::new(Uuid::from_u128(2)),
            name: "Offices".into(),
            what: vec![
                Selection::Files { paths: vec!["/home".into()], excludes: vec!["*.iso".into()] },
                Selection::Disks { devices: vec!["/dev/sda".into(), fleet::SYSTEM_DISK.into()] },
            ],
            schedule: Schedule {
                zone: Zone::named("America/Santiago").unwrap(),
                times: Times::weekly(vec![WeekDay::Friday], vec![jiff::civil::time(0, 0, 0, 0)]).unwrap(),
                spread: 1_800,
                windows: vec![window("friday, sunday 22:00-06:00").unwrap(), window("12:00-13:00").unwrap()],
            },
            copies: vec![DestinationId::new(Uuid::from_u128(3))],
            keep: Keep {
                daily: 14,
                within: within("1y2m3d4h").unwrap(),
                tags: vec!["audit".into()],
                ..Keep::default()
            },
            drills: vec![Drill::FileSample, Drill::BootTest],
            roaming: Roaming {
                power: Power::Floor(40),
                metered: Metered::Avoided,
                daily_bytes: Some(1_500_000),
                speeds: vec![Speed { window: window("monday 08:00-18:00").unwrap(), bytes_per_second: 500_000 }],
                overdue_days: Some(3),
            },
        };
        let vault = Destination {
            id: policy.copies[0],
            tenant: policy.tenant,
            name: "Vault".into(),
            place: fleet::Place::Copies("/mnt".into()),
            distance: fleet::Distance::Offsite,
        };
        let again = PolicyForm::of(&policy).unwrap().meant(policy.id, std::slice::from_ref(&vault)).unwrap();
        assert_eq!(again, policy);
        let cron = Times::cron("30 2 * * 1-5").unwrap();
        let by_cron = Policy { schedule: Schedule { times: cron, ..policy.schedule.clone() }, ..policy.clone() };
        assert_eq!(PolicyForm::of(&by_cron).unwrap().meant(policy.id, &[vault]).unwrap(), by_cron);
    }

    #[test]
    fn what_makes_no_sense_is_told_in_words() {
        let mut form = PolicyForm::usual(TenantId::new(Uuid::nil()), &Zone::utc());
        form.put("name", "x");
        let wrong = |name: &str, value: &str| {
            let mut fields = form.fields.clone();
            fields.insert(name.into(), value.into());
            let form = PolicyForm { tenant: form.tenant, id: None, fields };
            form.meant(PolicyId::new(Uuid::nil()), &[]).unwrap_err()
        };
        for (name, value) in [
            ("name", " "),
            ("paths", "home"),
            ("devices", "sda"),
            ("at", "25:00"),
            ("at", ""),
            ("zone", "Middle/Earth"),
            ("daily", "-1"),
            ("within", "3"),
            ("within", "4w"),
            ("windows", "sometimes"),
            ("cron", "never"),
        ] {
            assert!(wrong(name, value).ends_with('.'), "{name}");
        }
    }
}
