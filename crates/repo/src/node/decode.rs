//! Reads a node. Unknown members are passed over; members may come in any order, and `null` counts as missing, as in Go.

use std::sync::Arc;

use super::{ExtendedAttribute, Node, NodeKind, NodeTime};
use crate::gojson;
use crate::gojson::scanner::Scanner;

/// Names of owners that nodes share: neighbours mostly have the same.
pub(crate) struct Owners {
    user: Arc<str>,
    group: Arc<str>,
}

impl Owners {
    pub(crate) fn new() -> Owners {
        Owners { user: "".into(), group: "".into() }
    }
}

impl Node {
    /// Reads the node that is next. Its name is not checked.
    pub(crate) fn decode(scanner: &mut Scanner<'_>, owners: &mut Owners) -> Result<Node, String> {
        let (mut node, mut kind, mut first) = (Node::empty(), None, true);
        let mut raw_target = None;
        scanner.expect(b'{')?;
        while let Some(key) = scanner.key(&mut first)? {
            if scanner.null() {
                continue;
            }
            match &*key {
                "type" => kind = Some(NodeKind::parse(&scanner.string()?)?),
                "linktarget_raw" => raw_target = Some(bytes(scanner)?),
                key => node.decode_member(key, scanner, owners)?,
            }
        }
        node.kind = kind.ok_or_else(|| format!("{} has no type", node.display_name()))?;
        node.link_target = raw_target.unwrap_or(node.link_target);
        Ok(node)
    }

    fn decode_member(&mut self, key: &str, scanner: &mut Scanner<'_>, owners: &mut Owners) -> Result<(), String> {
        match key {
            "name" => self.name = name(scanner)?,
            "mode" => self.mode = scanner.unsigned32()?,
            "mtime" => self.mtime = time(scanner)?,
            "atime" => self.atime = time(scanner)?,
            "ctime" => self.ctime = time(scanner)?,
            "uid" => self.uid = scanner.unsigned32()?,
            "gid" => self.gid = scanner.unsigned32()?,
            "user" => self.user = shared(scanner, &mut owners.user)?,
            "group" => self.group = shared(scanner, &mut owners.group)?,
            "inode" => self.inode = scanner.unsigned()?,
            "device_id" => self.device_id = scanner.unsigned()?,
            "size" => self.size = scanner.unsigned()?,
            "links" => self.links = scanner.unsigned()?,
            "linktarget" => self.link_target = scanner.string()?.into_owned().into_bytes(),
            "extended_attributes" => self.extended_attributes = list(scanner, extended_attribute)?,
            "generic_attributes" => generic_attributes(self, scanner)?,
            "device" => self.device = scanner.unsigned()?,
            "content" => self.content = Some(list(scanner, Scanner::id)?),
            "subtree" => self.subtree = Some(scanner.id()?),
            "error" => self.error = scanner.string()?.into_owned(),
            _ => scanner.skip()?,
        }
        Ok(())
    }
}

fn name(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, String> {
    let quoted = scanner.string()?;
    gojson::unquote_name(&quoted).ok_or_else(|| format!("the name {quoted:?} is not quoted as it must be"))
}

fn time(scanner: &mut Scanner<'_>) -> Result<NodeTime, String> {
    let text = scanner.string()?;
    NodeTime::parse(&text).ok_or_else(|| format!("{text:?} is no time"))
}

fn shared(scanner: &mut Scanner<'_>, last: &mut Arc<str>) -> Result<Arc<str>, String> {
    let text = scanner.string()?;
    if *text != **last {
        *last = text.into();
    }
    Ok(last.clone())
}

fn bytes(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, String> {
    use base64::Engine as _;
    let text = scanner.string()?;
    base64::engine::general_purpose::STANDARD
        .decode(&*text)
        .map_err(|error| format!("{text:.20?} is no base64: {error}"))
}

fn list<'j, T>(
    scanner: &mut Scanner<'j>,
    item: impl Fn(&mut Scanner<'j>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let (mut items, mut first) = (Vec::new(), true);
    scanner.expect(b'[')?;
    while scanner.more(&mut first, b']')? {
        items.push(item(scanner)?);
    }
    Ok(items)
}

fn extended_attribute(scanner: &mut Scanner<'_>) -> Result<ExtendedAttribute, String> {
    let (mut attribute, mut first) = (ExtendedAttribute { name: String::new(), value: None }, true);
    scanner.expect(b'{')?;
    while let Some(key) = scanner.key(&mut first)? {
        match &*key {
            _ if scanner.null() => {}
            "name" => attribute.name = scanner.string()?.into_owned(),
            "value" => attribute.value = Some(bytes(scanner)?),
            _ => scanner.skip()?,
        }
    }
    Ok(attribute)
}

fn generic_attributes(node: &mut Node, scanner: &mut Scanner<'_>) -> Result<(), String> {
    let mut first = true;
    scanner.expect(b'{')?;
    while let Some(key) = scanner.key(&mut first)? {
        node.generic_attributes.insert(key.into_owned(), scanner.raw()?.to_owned());
    }
    Ok(())
}
