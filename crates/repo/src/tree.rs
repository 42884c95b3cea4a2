//! A tree: one directory's nodes, strictly ascending by the raw bytes of their names.
//!
//! Trees can be large: [`TreeReader`] and [`TreeBuilder`] go node by node and never hold more than one.

use crate::gojson::scanner::Scanner;
use crate::node::{self, Node, Owners};

/// One directory's nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// In ascending order of name, without duplicates.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Parses a tree blob. Accepts unknown keys. Errors, in words: unsorted or duplicate names, names that are empty, `.`,
    /// `..`, or contain `/` or NUL, unknown types.
    pub fn parse(json: &[u8]) -> Result<Tree, String> {
        Ok(Tree { nodes: TreeReader::new(json)?.collect::<Result<_, _>>()? })
    }

    /// Finds a node by name.
    pub fn find(&self, name: &[u8]) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok()?;
        Some(&self.nodes[at])
    }
}

/// Reads a tree blob node by node, in ascending order of name. Refuses what [`Tree::parse`] refuses; after an error there
/// are no more nodes.
pub struct TreeReader<'j> {
    scanner: Scanner<'j>,
    part: Part,
    owners: Owners,
    last_name: Vec<u8>,
}

/// Where in the blob the reader is.
#[derive(Clone, Copy)]
enum Part {
    Nodes { first: bool },
    End,
}

impl<'j> TreeReader<'j> {
    /// Starts to read; goes to the first node.
    pub fn new(json: &'j [u8]) -> Result<TreeReader<'j>, String> {
        let scanner = Scanner::new(json)?;
        let mut reader = TreeReader { scanner, part: Part::End, owners: Owners::new(), last_name: Vec::new() };
        reader.enter()?;
        Ok(reader)
    }

    /// Passes over everything before the list of nodes.
    fn enter(&mut self) -> Result<(), String> {
        let mut first = true;
        self.scanner.expect(b'{')?;
        while let Some(key) = self.scanner.key(&mut first)? {
            if key != "nodes" {
                self.scanner.skip()?;
            } else if self.scanner.null() {
                return self.leave();
            } else {
                self.part = Part::Nodes { first: true };
                return self.scanner.expect(b'[');
            }
        }
        Err("it has no list of nodes".into())
    }

    /// Passes over everything after the list of nodes.
    fn leave(&mut self) -> Result<(), String> {
        let mut first = false;
        while let Some(key) = self.scanner.key(&mut first)? {
            if key == "nodes" {
                return Err("it has two lists of nodes".into());
            }
            self.scanner.skip()?;
        }
        self.scanner.end()
    }

    fn step(&mut self) -> Result<Option<Node>, String> {
        let Part::Nodes { mut first } = self.part else { return Ok(None) };
        self.part = Part::End;
        if !self.scanner.more(&mut first, b']')? {
            return self.leave().map(|()| None);
        }
        let node = Node::decode(&mut self.scanner, &mut self.owners)?;
        node::check_name(&node.name)?;
        check_order(&self.last_name, &node.name)?;
        self.last_name.clone_from(&node.name);
        self.part = Part::Nodes { first };
        Ok(Some(node))
    }
}

impl Iterator for TreeReader<'_> {
    type Item = Result<Node, String>;

    fn next(&mut self) -> Option<Result<Node, String>> {
        self.step().transpose()
    }
}

/// Checks that `name` comes after `last`. No name is empty, so any may follow an empty one.
fn check_order(last: &[u8], name: &[u8]) -> Result<(), String> {
    if name > last {
        return Ok(());
    }
    let [name, last] = [name, last].map(String::from_utf8_lossy);
    Err(format!("its names are not in order: {name:?} comes after {last:?}"))
}

/// Writes a tree blob node by node, without keeping the nodes.
#[derive(Default)]
pub struct TreeBuilder {
    json: Vec<u8>,
    last_name: Vec<u8>,
}

const OPENING: &[u8] = b"{\"nodes\":[";

impl TreeBuilder {
    /// A builder that writes into `buffer`, which is cleared first: what [`TreeBuilder::finish`] of another one gave back.
    pub fn with_buffer(mut buffer: Vec<u8>) -> TreeBuilder {
        buffer.clear();
        TreeBuilder { json: buffer, last_name: Vec::new() }
    }

    /// Appends a node whose name must be greater than the last one's. After an error the tree is as it was before.
    pub fn push(&mut self, node: &Node) -> Result<(), String> {
        check_order(&self.last_name, &node.name)?;
        let before = self.json.len();
        self.json.extend_from_slice(if before == 0 { OPENING } else { b"," });
        node.encode(&mut self.json).inspect_err(|_| self.json.truncate(before))?;
        self.last_name.clone_from(&node.name);
        Ok(())
    }

    /// Bytes written so far.
    pub fn size(&self) -> usize {
        self.json.len()
    }

    /// The finished JSON, newline included.
    pub fn finish(mut self) -> Vec<u8> {
        if self.json.is_empty() {
            self.json.extend_from_slice(OPENING);
        }
        self.json.extend_from_slice(b"]}\n");
        self.json
    }
}

#[cfg(test)]
mod tests;
