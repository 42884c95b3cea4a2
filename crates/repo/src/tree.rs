//! A tree: one directory's nodes, strictly ascending by the raw bytes of their names.

use crate::node::Node;

/// One directory's nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// In ascending order of name, without duplicates.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Parses a tree blob. Accepts unknown keys. Errors, in words: unsorted or duplicate names, names that are empty, `.`,
    /// `..`, or contain `/` or NUL, unknown types.
    pub fn parse(_json: &[u8]) -> Result<Tree, String> {
        todo!()
    }

    /// Finds a node by name.
    pub fn find(&self, name: &[u8]) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok()?;
        Some(&self.nodes[at])
    }
}

/// Writes a tree blob node by node, without keeping the nodes.
#[derive(Default)]
pub struct TreeBuilder {
    json: Vec<u8>,
}

impl TreeBuilder {
    /// Appends a node whose name must be greater than the last one's.
    pub fn push(&mut self, _node: &Node) -> Result<(), String> {
        todo!()
    }

    /// The finished JSON, newline included.
    pub fn finish(self) -> Vec<u8> {
        self.json
    }
}
