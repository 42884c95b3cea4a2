//! Identities: UUIDs of version 7, one type for each kind of thing. They are given in; nothing here draws one.

/// Declares a type for the identity of one kind of thing.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name($crate::Uuid);

        impl $name {
            /// The identity that this UUID is.
            pub const fn new(uuid: $crate::Uuid) -> $name {
                $name(uuid)
            }

            /// The identity of a thing made at `at` (to the millisecond; before 1970 counts as 1970); `random` makes
            /// it the only one.
            pub fn made(at: ::jiff::Timestamp, random: [u8; 10]) -> $name {
                $name($crate::version_7(at, random))
            }

            /// The UUID.
            pub const fn uuid(self) -> $crate::Uuid {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::NotAnId;

            fn from_str(text: &str) -> ::std::result::Result<$name, $crate::NotAnId> {
                $crate::Uuid::parse_str(text).map($name).map_err(|_| $crate::NotAnId)
            }
        }
    };
}

/// A text that should be an identity and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an identity (a UUID)")]
pub struct NotAnId;

/// The UUID of version 7 for a moment and ten random bytes.
pub fn version_7(at: jiff::Timestamp, random: [u8; 10]) -> uuid::Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

id!(
    /// An IT provider on this server.
    TenantId
);
id!(
    /// A business that a tenant looks after.
    ClientId
);
id!(
    /// One of a client's places.
    SiteId
);
id!(
    /// A computer.
    MachineId
);
id!(
    /// A policy.
    PolicyId
);
id!(
    /// Where backups go.
    DestinationId
);
id!(
    /// A piece of work.
    JobId
);
id!(
    /// One attempt at a job.
    RunId
);
id!(
    /// One copy to another destination.
    CopyId
);
id!(
    /// One restore practised on purpose.
    DrillId
);
id!(
    /// Something that needs a person.
    AlertId
);
id!(
    /// A silence.
    SilenceId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_sort_by_the_time_they_were_made_at() {
        let at = |second| MachineId::made(jiff::Timestamp::from_second(second).unwrap(), [255; 10]);
        assert!(at(1_000) < at(1_001));
        assert_eq!(at(1_000).uuid().get_version_num(), 7);
    }

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let id = RunId::made(jiff::Timestamp::UNIX_EPOCH, [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("42".parse::<RunId>(), Err(NotAnId));
    }
}
