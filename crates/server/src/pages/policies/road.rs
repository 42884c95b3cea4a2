//! What holds on the road, as fields of a policy's form.

use fleet::{Metered, Power, Roaming, Speed};

use super::form::{PolicyForm, lines, window, window_text};

/// Megabytes, of which byte budgets are typed.
const MB: u64 = 1_000_000;

/// Kilobytes, of which speeds are typed.
const KB: u64 = 1_000;

impl PolicyForm {
    pub(super) fn put_roaming(&mut self, roaming: &Roaming) {
        match roaming.power {
            Power::Any => {}
            Power::Floor(percent) => self.put("battery", &percent.to_string()),
            Power::Mains => self.put("mains", "on"),
        }
        if roaming.metered == Metered::Avoided {
            self.put("unmetered", "on");
        }
        let megabytes = |bytes: u64| (bytes as f64 / MB as f64).to_string();
        self.put("budget", &roaming.daily_bytes.map(megabytes).unwrap_or_default());
        let speed =
            |speed: &Speed| format!("{} {}", window_text(&speed.window), speed.bytes_per_second as f64 / KB as f64);
        self.put("speeds", &roaming.speeds.iter().map(speed).collect::<Vec<_>>().join("\n"));
        self.put("overdue", &roaming.overdue_days.map(|days| days.to_string()).unwrap_or_default());
    }

    pub(super) fn roaming(&self) -> Result<Roaming, String> {
        let power = match (self.is_on("mains"), self.count("battery", 100)?) {
            (true, _) => Power::Mains,
            (false, 0) => Power::Any,
            (false, percent) => Power::Floor(percent as u8),
        };
        let metered = if self.is_on("unmetered") { Metered::Avoided } else { Metered::Used };
        let budget = self.text("budget").trim();
        let daily_bytes = if budget.is_empty() { None } else { Some(many(budget, MB)?) };
        let speeds = lines(self.text("speeds")).iter().map(|line| speed(line)).collect::<Result<_, _>>()?;
        let overdue_days = match self.count("overdue", 365)? {
            0 => None,
            days => Some(days as u16),
        };
        Ok(Roaming { power, metered, daily_bytes, speeds, overdue_days })
    }
}

/// "monday 08:00-18:00 500": a span, and kilobytes in a second.
fn speed(line: &str) -> Result<Speed, String> {
    let wrong = || format!("{line:?} is no speed: a span and kilobytes a second, such as 08:00-18:00 500.");
    let (span, amount) = line.trim().rsplit_once(' ').ok_or_else(wrong)?;
    Ok(Speed { window: window(span)?, bytes_per_second: many(amount, KB)?.max(1) })
}

fn many(text: &str, unit: u64) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(amount) if amount > 0.0 && amount <= 1e9 => Ok((amount * unit as f64).round() as u64),
        _ => Err(format!("{text:?} is no amount above nought.")),
    }
}
