//! What a tree refers to, found without building its nodes: data blobs and subtrees.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{BlobHandle, BlobKind, Error, Id};

/// Ids that a tree names, repetitions included.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    pub(crate) data: Vec<Id>,
    pub(crate) trees: Vec<Id>,
}

/// Finds them all. Whatever is no tree is an error, so that nothing is overlooked.
pub(crate) fn find_references(id: &Id, json: &[u8]) -> crate::Result<References> {
    let mut found = References::default();
    let mut parser = serde_json::Deserializer::from_slice(json);
    let outcome = TreeSeed(&mut found).deserialize(&mut parser).and_then(|()| parser.end());
    match outcome {
        Ok(()) => Ok(found),
        Err(reason) => Err(not_a_tree(id, reason)),
    }
}

/// A blob that holds the bytes that its name promises, but not a tree.
pub(crate) fn not_a_tree(id: &Id, reason: impl std::fmt::Display) -> Error {
    let blob = BlobHandle { kind: BlobKind::Tree, id: *id };
    Error::Invalid(format!("{:?} blob {} is not a directory listing: {reason}", blob.kind, blob.id))
}

struct TreeSeed<'f>(&'f mut References);

impl<'de> DeserializeSeed<'de> for TreeSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TreeSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a tree")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = false;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Nodes => {
                    map.next_value_seed(NodesSeed(self.0))?;
                    seen = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if seen { Ok(()) } else { Err(A::Error::missing_field("nodes")) }
    }
}

struct NodesSeed<'f>(&'f mut References);

impl<'de> DeserializeSeed<'de> for NodesSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // An empty directory may be Go's nil slice.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodesSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of nodes")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(NodeSeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct NodeSeed<'f>(&'f mut References);

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a node")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Content => map.next_value_seed(ContentSeed(&mut self.0.data))?,
                Key::Subtree => self.0.trees.extend(map.next_value::<Option<Id>>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct ContentSeed<'f>(&'f mut Vec<Id>);

impl<'de> DeserializeSeed<'de> for ContentSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ContentSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of blobs")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(id) = seq.next_element()? {
            self.0.push(id);
        }
        Ok(())
    }
}

/// The keys that matter, of trees and of nodes.
enum Key {
    Nodes,
    Content,
    Subtree,
    Other,
}

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(match text {
                    "nodes" => Key::Nodes,
                    "content" => Key::Content,
                    "subtree" => Key::Subtree,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> Id {
        Id::from_bytes([number; 32])
    }

    #[test]
    fn data_and_subtrees_are_found_in_every_node() {
        let json = format!(
            r#"{{"x":[{{"content":["{c}"]}}],"nodes":[{{"name":"a","content":["{a}","{b}"]}},
               {{"name":"d","content":null,"subtree":"{c}"}},{{"name":"l","content":null}},{{"content":[]}}]}}"#,
            a = id(1),
            b = id(2),
            c = id(3),
        );
        let found = find_references(&id(9), json.as_bytes()).unwrap();
        assert_eq!(found, References { data: vec![id(1), id(2)], trees: vec![id(3)] });
    }

    #[test]
    fn an_empty_directory_refers_to_nothing() {
        for json in [r#"{"nodes":[]}"#, r#"{"nodes":null}"#] {
            assert_eq!(find_references(&id(9), json.as_bytes()).unwrap(), References::default());
        }
    }

    #[test]
    fn what_is_no_tree_is_an_error() {
        for json in
            ["", "{}", "[]", r#"{"nodes":[{"content":["12"]}]}"#, r#"{"nodes":[]} x"#, r#"{"nodes":[{"subtree":7}]}"#]
        {
            assert!(find_references(&id(9), json.as_bytes()).is_err(), "{json}");
        }
    }
}
