//! Names of users and groups, read from `/etc/passwd` and `/etc/group` once.
//!
//! restic's own binaries read the same files and ask no name service, so both write the same names.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The machine's users and groups.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    users: HashMap<u32, Arc<str>>,
    groups: HashMap<u32, Arc<str>>,
    nobody: Arc<str>,
}

impl Accounts {
    /// Reads the system's files; one that cannot be read names nobody.
    pub fn load() -> Accounts {
        Accounts::from_files(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    /// Reads other files of the same form.
    pub fn from_files(users: &Path, groups: &Path) -> Accounts {
        let read = |path| std::fs::read(path).unwrap_or_default();
        Accounts { users: by_number(&read(users), 6), groups: by_number(&read(groups), 3), nobody: Arc::from("") }
    }

    /// A user's name, or the empty string.
    pub fn user(&self, uid: u32) -> Arc<str> {
        self.users.get(&uid).unwrap_or(&self.nobody).clone()
    }

    /// A group's name, or the empty string.
    pub fn group(&self, gid: u32) -> Arc<str> {
        self.groups.get(&gid).unwrap_or(&self.nobody).clone()
    }

    /// A user's number.
    pub fn uid(&self, name: &str) -> Option<u32> {
        number_of(&self.users, name)
    }

    /// A group's number.
    pub fn gid(&self, name: &str) -> Option<u32> {
        number_of(&self.groups, name)
    }
}

fn number_of(names: &HashMap<u32, Arc<str>>, name: &str) -> Option<u32> {
    names.iter().filter(|(_, known)| ***known == *name).map(|(number, _)| *number).min()
}

/// Lines `name:password:number:…` with at least `colons` colons; the first line of a number counts.
fn by_number(text: &[u8], colons: usize) -> HashMap<u32, Arc<str>> {
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let Some((number, name)) = entry(line.trim_ascii(), colons) {
            names.entry(number).or_insert(name);
        }
    }
    names
}

fn entry(line: &[u8], colons: usize) -> Option<(u32, Arc<str>)> {
    let line = std::str::from_utf8(line).ok()?;
    if line.starts_with(['#', '+', '-', ':']) || line.matches(':').count() < colons {
        return None;
    }
    let mut fields = line.split(':');
    let name = fields.next()?;
    let number = fields.nth(1)?.parse().ok()?;
    Some((number, Arc::from(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_number_counts_and_broken_lines_are_passed_over() {
        let text =
            b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/\n#c:x:1:1::/:/\n+nis:x:7:7::/:/\nshort:x:5\nu:x:5:5:::\n";
        let names = by_number(text, 6);
        assert_eq!(names.len(), 2);
        assert_eq!(&*names[&0], "root");
        assert_eq!(&*names[&5], "u");
    }
}
