//! Writes a node byte for byte as restic does.

use backend::Id;

use super::{ExtendedAttribute, Node, NodeKind, NodeTime};
use crate::gojson;

impl Node {
    /// Appends the node's JSON object as restic writes it.
    ///
    /// # Errors
    /// In words, if no restic repository may hold such a node: an impossible name, or a kind that is never written.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), String> {
        self.check()?;
        out.extend_from_slice(b"{\"name\":");
        gojson::name(&self.name, out);
        out.extend_from_slice(b",\"type\":\"");
        out.extend_from_slice(self.kind.name().as_bytes());
        out.push(b'"');
        positive("mode", u64::from(self.mode), out);
        self.encode_times(out);
        self.encode_owner(out);
        for (key, number) in
            [("inode", self.inode), ("device_id", self.device_id), ("size", self.size), ("links", self.links)]
        {
            positive(key, number, out);
        }
        self.encode_target(out);
        self.encode_attributes(out);
        positive("device", self.device, out);
        self.encode_content(out);
        if !self.error.is_empty() {
            key("error", out);
            gojson::string(&self.error, out);
        }
        out.push(b'}');
        Ok(())
    }

    /// Refuses what readers would refuse.
    fn check(&self) -> Result<(), String> {
        super::check_name(&self.name)?;
        match self.kind {
            NodeKind::Irregular => Err(format!("{:?} has a type that cannot be stored", self.display_name())),
            _ => Ok(()),
        }
    }

    fn encode_times(&self, out: &mut Vec<u8>) {
        let start = out.len() + ",\"mtime\":".len();
        time("mtime", &self.mtime, out);
        let end = out.len();
        // The three are often the same, and dates cost more than anything else here.
        for (name, value) in [("atime", &self.atime), ("ctime", &self.ctime)] {
            if *value == self.mtime {
                key(name, out);
                out.extend_from_within(start..end);
            } else {
                time(name, value, out);
            }
        }
    }

    fn encode_owner(&self, out: &mut Vec<u8>) {
        for (name, number) in [("uid", self.uid), ("gid", self.gid)] {
            key(name, out);
            gojson::number(u64::from(number), out);
        }
        for (name, text) in [("user", &self.user), ("group", &self.group)] {
            if !text.is_empty() {
                key(name, out);
                gojson::string(text, out);
            }
        }
    }

    /// A target that is no text is written twice: as well as JSON can, and raw.
    fn encode_target(&self, out: &mut Vec<u8>) {
        if self.link_target.is_empty() {
            return;
        }
        key("linktarget", out);
        gojson::lossy_string(&self.link_target, out);
        if std::str::from_utf8(&self.link_target).is_err() {
            key("linktarget_raw", out);
            gojson::base64(&self.link_target, out);
        }
    }

    fn encode_attributes(&self, out: &mut Vec<u8>) {
        if !self.extended_attributes.is_empty() {
            key("extended_attributes", out);
            list(b"[]", &self.extended_attributes, out, encode_attribute);
        }
        if !self.generic_attributes.is_empty() {
            key("generic_attributes", out);
            list(b"{}", &self.generic_attributes, out, |(name, value), out| {
                gojson::string(name, out);
                out.push(b':');
                out.extend_from_slice(value.as_bytes());
            });
        }
    }

    fn encode_content(&self, out: &mut Vec<u8>) {
        key("content", out);
        match &self.content {
            None => out.extend_from_slice(b"null"),
            Some(ids) => {
                out.reserve(ids.len() * 67);
                list(b"[]", ids, out, id);
            }
        }
        if let Some(subtree) = &self.subtree {
            key("subtree", out);
            id(subtree, out);
        }
    }
}

fn encode_attribute(attribute: &ExtendedAttribute, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":");
    gojson::string(&attribute.name, out);
    key("value", out);
    match &attribute.value {
        Some(value) => gojson::base64(value, out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A number that is left out if it is zero.
fn positive(name: &str, number: u64, out: &mut Vec<u8>) {
    if number > 0 {
        key(name, out);
        gojson::number(number, out);
    }
}

fn time(name: &str, time: &NodeTime, out: &mut Vec<u8>) {
    key(name, out);
    out.push(b'"');
    time.write(out);
    out.push(b'"');
}

fn id(id: &Id, out: &mut Vec<u8>) {
    let mut digits = [b'"'; 66];
    hex::encode_to_slice(id.as_bytes(), &mut digits[1..65]).expect("64 digits");
    out.extend_from_slice(&digits);
}

fn list<T>(brackets: &[u8; 2], items: impl IntoIterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(brackets[0]);
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(brackets[1]);
}
