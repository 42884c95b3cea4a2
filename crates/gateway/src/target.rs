//! What a request's path means. A path that is not exactly one of the protocol's means nothing.

use backend::{FileKind, FileName};

use crate::RepositoryName;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/name/`: the repository itself.
    Repository(RepositoryName),
    /// `/name/keys/`: all files of a kind.
    List(RepositoryName, FileKind),
    /// `/name/config` or `/name/keys/id`: one file.
    File(RepositoryName, FileName),
}

impl Target {
    /// Understands a path as it came, still escaped: no name needs escapes, so one that has any is none of ours.
    pub(crate) fn parse(path: &str) -> Option<Target> {
        let (repository, rest) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
        let repository: RepositoryName = repository.parse().ok()?;
        match rest.split_once('/') {
            None if rest.is_empty() => Some(Target::Repository(repository)),
            None if rest == FileKind::Config.directory() => Some(Target::File(repository, FileName::CONFIG)),
            None => None,
            Some((kind, "")) => Some(Target::List(repository, named(kind)?)),
            Some((kind, id)) => Some(Target::File(repository, FileName::new(named(kind)?, id.parse().ok()?))),
        }
    }

    /// The repository that it belongs to.
    pub(crate) fn repository(&self) -> &RepositoryName {
        match self {
            Target::Repository(name) | Target::List(name, _) | Target::File(name, _) => name,
        }
    }
}

/// The kind whose directory has that name.
fn named(directory: &str) -> Option<FileKind> {
    FileKind::NAMED.into_iter().find(|kind| kind.directory() == directory)
}

#[cfg(test)]
mod tests {
    use backend::Id;
    use proptest::prelude::*;

    use super::*;

    fn path(target: &Target) -> String {
        match target {
            Target::Repository(name) => format!("/{name}/"),
            Target::List(name, kind) => format!("/{name}/{}/", kind.directory()),
            Target::File(name, FileName { kind: FileKind::Config, .. }) => format!("/{name}/config"),
            Target::File(name, file) => format!("/{name}/{}/{}", file.kind.directory(), file.id),
        }
    }

    #[test]
    fn the_protocols_paths_are_understood() {
        let id = Id::of(b"x");
        for text in ["/pc/", "/pc/config", "/pc/data/", "/pc/locks/", &format!("/pc/snapshots/{id}")] {
            assert_eq!(Target::parse(text).map(|target| path(&target)).as_deref(), Some(text));
        }
        assert_eq!(Target::parse("/pc"), Target::parse("/pc/"));
    }

    #[test]
    fn everything_else_means_nothing() {
        let id = Id::of(b"x").to_string();
        let capitals = format!("/pc/keys/{}", id.to_uppercase());
        for text in [
            "",
            "/",
            "//",
            "pc/",
            "/pc//",
            "/pc/config/",
            "/pc/keys",
            "/pc/other/",
            "/../pc/",
            "/pc/../x/config",
            "/pc/keys/../../x",
            "/pc/data/ab/",
            "/pc/keys/%2e%2e",
            "/%70c/config",
            "/pc/keys/x",
            "/PC/config",
            "/metrics",
            "/metrics/config",
            &capitals,
            &format!("/pc/config/{id}"),
            &format!("/pc/keys/{id}/"),
            &format!("/pc/data/{}/{id}", &id[..2]),
            &format!("/pc/keys/{id}?x"),
            &format!("/pc/keys/{id} "),
        ] {
            assert_eq!(Target::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_understood_is_written_in_one_way(text in "/?[a-z./%]{0,12}/?(config|keys|data|locks|index|snapshots)?/?[0-9a-fA-F./%\u{0}é]{0,70}") {
            if let Some(target) = Target::parse(&text) {
                let written = path(&target);
                prop_assert!(written == text || written == format!("{text}/"), "{text:?} became {written:?}");
            }
        }

        #[test]
        fn no_path_is_too_strange(text in any::<String>()) {
            let slashed = format!("/{text}");
            for text in [&text, &slashed] {
                if let Some(target) = Target::parse(text) {
                    prop_assert!(!target.repository().as_str().contains(['/', '\\', '%', '\0']));
                    prop_assert!(!target.repository().as_str().starts_with('.'));
                }
            }
        }
    }
}
