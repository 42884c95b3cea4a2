-- What people sign in with instead of a password.
create table passkeys (
    id uuid primary key not null,
    person uuid not null references people (id),
    -- The credential's own name, unique whoever has it.
    credential bytea not null unique,
    name text not null,
    document text not null,
    made bigint not null,
    used bigint
);
create index passkeys_person on passkeys (person);
