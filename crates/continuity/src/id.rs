//! Identities of people and of what they may do; UUIDs of version 7, given in.

fleet::id!(
    /// A person.
    PersonId
);
fleet::id!(
    /// A grant.
    GrantId
);
