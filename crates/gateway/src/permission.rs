//! Who may do what: append-only by kind. Pure; whose a lock is, and what is stored already, is decided where it is known.

use backend::FileKind;

use crate::{Enrolment, Holder};

/// What somebody wants to do in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// List or read.
    Look,
    /// Make the layout of an empty repository.
    Create,
    /// Add a file of that kind.
    Add(FileKind),
    /// Remove a file of that kind.
    Remove(FileKind),
}

/// Whether a wish is granted; if not, the words for it.
pub(crate) fn judge(holder: &Holder, enrolment: Enrolment, wish: Wish) -> Result<(), String> {
    if let Holder::Keeper(_) = holder {
        return Ok(());
    }
    match (wish, enrolment) {
        (Wish::Look, _) => Ok(()),
        (Wish::Add(FileKind::Config | FileKind::Key) | Wish::Create, Enrolment::Open) => Ok(()),
        (Wish::Create, _) => Err("enrolment is sealed: the repository is made already".into()),
        (Wish::Add(kind @ (FileKind::Config | FileKind::Key)), _) => {
            Err(format!("enrolment is sealed: a {kind} can only be added by a keeper"))
        }
        (Wish::Add(_), _) | (Wish::Remove(FileKind::Lock), _) => Ok(()),
        (Wish::Remove(kind), _) => Err(format!("append-only: a {kind} can only be removed by a keeper")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reach;

    const KINDS: [FileKind; 6] =
        [FileKind::Config, FileKind::Key, FileKind::Lock, FileKind::Snapshot, FileKind::Index, FileKind::Pack];

    fn machine_may(enrolment: Enrolment, wish: Wish) -> bool {
        judge(&Holder::Machine("pc".parse().unwrap()), enrolment, wish).is_ok()
    }

    #[test]
    fn a_machine_removes_nothing_but_locks() {
        for enrolment in [Enrolment::Open, Enrolment::Sealed] {
            let removable = KINDS.into_iter().filter(|kind| machine_may(enrolment, Wish::Remove(*kind)));
            assert_eq!(removable.collect::<Vec<_>>(), [FileKind::Lock]);
        }
    }

    #[test]
    fn a_machine_adds_config_and_keys_only_until_it_is_sealed() {
        let addable = |enrolment| KINDS.into_iter().filter(move |kind| machine_may(enrolment, Wish::Add(*kind)));
        assert_eq!(addable(Enrolment::Open).count(), 6);
        let sealed: Vec<_> = addable(Enrolment::Sealed).collect();
        assert_eq!(sealed, [FileKind::Lock, FileKind::Snapshot, FileKind::Index, FileKind::Pack]);
        assert!(machine_may(Enrolment::Open, Wish::Create) && !machine_may(Enrolment::Sealed, Wish::Create));
    }

    #[test]
    fn a_keeper_may_do_all_of_it() {
        for kind in KINDS {
            for wish in [Wish::Look, Wish::Create, Wish::Add(kind), Wish::Remove(kind)] {
                assert_eq!(judge(&Holder::Keeper(Reach::All), Enrolment::Sealed, wish), Ok(()));
            }
        }
    }
}
