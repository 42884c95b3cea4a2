//! Trees in restic's bytes, and trees that no honest program writes.

use super::*;
use crate::node::{ExtendedAttribute, NodeKind, NodeTime};
use backend::Id;

/// Every field that a node can have, in restic's order.
const FULL: &str = concat!(
    r#"{"nodes":[{"name":"a\\xff\u003cb","type":"file","mode":2147484141,"mtime":"2026-11-22T01:43:44.946915975Z","#,
    r#""atime":"2026-11-22T01:43:44.946915975Z","ctime":"2024-02-29T23:59:59.1+05:30","uid":1,"gid":0,"user":"root","#,
    r#""group":"wheel","inode":18446744073709551615,"device_id":7,"size":3,"links":2,"linktarget":"\ufffd","#,
    r#""linktarget_raw":"/w==","extended_attributes":[{"name":"user.a","value":""},{"name":"user.b","value":null},"#,
    r#"{"name":"user.c","value":"AAE="}],"generic_attributes":{"windows.creation_time":{"LowDateTime":1,"HighDateTime":2},"#,
    r#""windows.file_attributes":32},"device":2049,"content":["#,
    r#""07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541","#,
    r#""5fcb2fbc5cd82a32ec344a4741f0a5dcea444aa01529aeeaf36bfb07f489e37a"],"#,
    r#""subtree":"5fcb2fbc5cd82a32ec344a4741f0a5dcea444aa01529aeeaf36bfb07f489e37b","error":"a \"b\""}]}"#,
    "\n"
);

fn build(tree: &Tree) -> Vec<u8> {
    let mut builder = TreeBuilder::default();
    tree.nodes.iter().for_each(|node| builder.push(node).unwrap());
    builder.finish()
}

fn minimal(names: &[&str]) -> String {
    let node = |name: &&str| format!(r#"{{"name":"{name}","type":"file","content":[]}}"#);
    format!(r#"{{"nodes":[{}]}}"#, names.iter().map(node).collect::<Vec<_>>().join(","))
}

#[test]
fn a_node_with_every_field_is_written_again_byte_for_byte() {
    let tree = Tree::parse(FULL.as_bytes()).unwrap();
    let node = &tree.nodes[0];
    assert_eq!((&node.name[..], &node.link_target[..], node.inode), (&b"a\xff<b"[..], &b"\xff"[..], u64::MAX));
    assert_eq!(node.extended_attributes[1], ExtendedAttribute { name: "user.b".into(), value: None });
    assert_eq!(node.ctime.offset, 19_800);
    assert_eq!(String::from_utf8(build(&tree)).unwrap(), FULL);
}

#[test]
fn a_bare_node_has_the_fields_that_are_always_there() {
    let mut out = Vec::new();
    Node::new("x", NodeKind::Fifo).encode(&mut out).unwrap();
    let expected = concat!(
        r#"{"name":"x","type":"fifo","mtime":"1970-01-01T00:00:00Z","atime":"1970-01-01T00:00:00Z","#,
        r#""ctime":"1970-01-01T00:00:00Z","uid":0,"gid":0,"content":null}"#
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn an_empty_tree_has_an_empty_list() {
    assert_eq!(TreeBuilder::default().finish(), b"{\"nodes\":[]}\n");
    assert_eq!(Tree::parse(b"{\"nodes\":[]}\n"), Ok(Tree::default()));
    assert_eq!(Tree::parse(b" { \"nodes\" : null } "), Ok(Tree::default()));
}

#[test]
fn members_that_nobody_knows_are_passed_over_wherever_they_are() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let json = format!(
        r#"{{"a":{deep},"nodes":[{{"new":{{"x":[1,"]}}\"",{{}},-1.5e+3,true]}},"content":null,"type":"dir","name":"d","mode":null}}],"z":""}}"#
    );
    let tree = Tree::parse(json.as_bytes()).unwrap();
    assert_eq!(tree.nodes, [Node::new("d", NodeKind::Dir)]);
    assert!(tree.find(b"d").is_some() && tree.find(b"e").is_none());
}

#[test]
fn names_that_lead_out_of_the_directory_are_refused() {
    for name in ["", ".", "..", "a/b", "/", r"\\x00", r"\u0000", r"a\\x2fb", r"\\056."] {
        let result = Tree::parse(minimal(&[name]).as_bytes());
        assert!(result.is_err(), "{name}: {result:?}");
    }
    for name in ["...", ".a", "a..", "~", "-", " "] {
        assert!(Tree::parse(minimal(&[name]).as_bytes()).is_ok(), "{name}");
    }
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
        assert!(TreeBuilder::default().push(&Node::new(name, NodeKind::File)).is_err());
    }
}

#[test]
fn names_are_in_strict_order_of_their_raw_bytes() {
    assert!(Tree::parse(minimal(&["a", "b", r"\\xff"]).as_bytes()).is_ok());
    // Quoted, \xff sorts before a; raw it does not.
    for names in [&["a", "a"][..], &["b", "a"], &[r"\\xff", "a"], &["a", r"\\x61"]] {
        let error = Tree::parse(minimal(names).as_bytes()).unwrap_err();
        assert!(error.contains("order"), "{error}");
    }
    let mut builder = TreeBuilder::default();
    builder.push(&Node::new("b", NodeKind::Dir)).unwrap();
    let size = builder.size();
    assert!(builder.push(&Node::new("a", NodeKind::Dir)).is_err());
    assert!(builder.push(&Node::new("b", NodeKind::Dir)).is_err());
    assert!(builder.push(&Node::new("c", NodeKind::Irregular)).is_err());
    assert_eq!(builder.size(), size);
    builder.push(&Node::new("c", NodeKind::Dir)).unwrap();
    assert_eq!(Tree::parse(&builder.finish()).unwrap().nodes.len(), 2);
}

#[test]
fn a_cut_tree_is_never_taken_for_a_shorter_one() {
    let whole = FULL.trim_end();
    for end in 0..whole.len() {
        assert!(Tree::parse(&whole.as_bytes()[..end]).is_err(), "{end}");
    }
    assert!(Tree::parse(format!("{whole}x").as_bytes()).is_err());
    assert!(Tree::parse(b"{}").is_err());
    assert!(Tree::parse(br#"{"nodes":[],"nodes":[]}"#).is_err());
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for (good, bad) in [
        ("\"file\"", "\"door\""),
        ("\"type\":\"file\",", ""),
        ("2147484141", "4294967296"),
        ("18446744073709551615", "18446744073709551616"),
        ("\"uid\":1", "\"uid\":-1"),
        ("\"uid\":1", "\"uid\":1.5"),
        ("\"uid\":1", "\"uid\":"),
        ("\"07854d", "\"07854D"),
        ("07854d", "7854d"),
        ("AAE=", "AAE"),
        ("2024-02-29", "2023-02-29"),
        ("\"root\"", "\"ro\not\""),
        ("\\\\xff", "\\\\xf"),
        ("\"content\":[", "\"content\":[,"),
        ("},{\"name\":\"user.c\"", "} {\"name\":\"user.c\""),
    ] {
        assert!(FULL.contains(good), "{good}");
        assert!(Tree::parse(FULL.replacen(good, bad, 1).as_bytes()).is_err(), "{bad}");
    }
    assert!(Tree::parse(b"{\"nodes\":[\xff]}").is_err());
}

#[test]
fn a_reader_stops_at_the_first_error() {
    let json = minimal(&["a", "c", "b", "d"]);
    let mut reader = TreeReader::new(json.as_bytes()).unwrap();
    let found: Vec<bool> = reader.by_ref().map(|node| node.is_ok()).collect();
    assert_eq!(found, [true, true, false]);
    assert!(reader.next().is_none());
}

#[test]
fn neighbours_share_the_names_of_their_owners() {
    let node = |name: &str| Node { user: "root".into(), ..Node::new(name, NodeKind::File) };
    let tree = Tree::parse(&build(&Tree { nodes: vec![node("a"), node("b")] })).unwrap();
    assert!(std::sync::Arc::ptr_eq(&tree.nodes[0].user, &tree.nodes[1].user));
}

#[test]
fn a_buffer_serves_again() {
    let mut builder = TreeBuilder::with_buffer(b"rubbish".to_vec());
    let mtime = NodeTime { seconds: 5, nanoseconds: 0, offset: 0 };
    let node = Node { mtime, content: Some(vec![Id::of(b"")]), ..Node::new("f", NodeKind::File) };
    builder.push(&node).unwrap();
    assert_eq!(Tree::parse(&builder.finish()).unwrap().nodes, [node]);
}
