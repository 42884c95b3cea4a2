-- Identities are UUIDs, moments microseconds since 1970, documents JSON. `uuid` and `bytea` are blobs in SQLite.

create table tenants (
    id uuid primary key not null,
    name text not null
);

create table people (
    id uuid primary key not null,
    name text not null,
    email text not null unique,
    password text,
    totp bytea,
    totp_step bigint not null
);

create table memberships (
    tenant uuid not null references tenants (id),
    person uuid not null references people (id),
    role text not null,
    primary key (tenant, person, role)
);
create index memberships_person on memberships (person);

create table clients (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    name text not null,
    zone text not null,
    custody text not null,
    sheet_confirmed bigint
);
create index clients_tenant on clients (tenant);

create table sites (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    client uuid not null references clients (id),
    name text not null
);
create index sites_client on sites (client);

create table policies (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    name text not null,
    document text not null
);
create index policies_tenant on policies (tenant);

create table destinations (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    name text not null,
    document text not null
);
create index destinations_tenant on destinations (tenant);

create table machines (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    client uuid not null references clients (id),
    site uuid references sites (id),
    name text not null,
    class text not null,
    policy uuid references policies (id),
    limits text,
    enrolled bigint not null,
    pause text,
    retired bigint,
    -- What the agent proves itself with, and how often it did; none on machines that use stock restic.
    identity bytea unique,
    counter bigint not null,
    hardware text,
    quarantined text,
    sealed_key bytea,
    -- How the machine stands, as of `judged`; judged again when something changes, and at `recheck`.
    rank bigint not null,
    state text not null,
    paused boolean not null,
    sentence text not null,
    lights text not null,
    percent bigint,
    bar text not null,
    judged bigint not null,
    recheck bigint not null
);
create index machines_worst on machines (tenant, rank desc, name, id) where retired is null;
create index machines_client on machines (client, rank desc, name, id) where retired is null;
create index machines_count on machines (tenant, state, paused) where retired is null;
create index machines_recheck on machines (recheck) where retired is null;
create index machines_policy on machines (policy);
create index machines_site on machines (site);

create table heartbeats (
    machine uuid primary key not null references machines (id),
    heard bigint not null,
    version text not null,
    address text not null
);

create table days_in_use (
    machine uuid not null references machines (id),
    day text not null,
    primary key (machine, day)
);

create table enrolment_codes (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    client uuid not null references clients (id),
    hash bytea not null unique,
    class text not null,
    policy uuid references policies (id),
    uses_left bigint not null,
    expires bigint not null,
    made_by text not null
);
create index enrolment_codes_client on enrolment_codes (client);

create table jobs (
    id uuid primary key not null,
    tenant uuid not null,
    client uuid not null,
    machine uuid not null references machines (id),
    word text not null,
    kind text not null,
    key text not null unique,
    orders text not null,
    asked_by text,
    due bigint not null,
    attempts bigint not null,
    state text not null,
    leased_until bigint,
    worker text
);
create index jobs_state on jobs (state, due);
create index jobs_machine on jobs (machine, due desc);

create table runs (
    id uuid primary key not null,
    tenant uuid not null,
    client uuid not null,
    machine uuid not null references machines (id),
    job uuid references jobs (id),
    word text not null,
    kind text not null,
    started bigint not null,
    progress text not null,
    ended bigint,
    state text not null,
    outcome text
);
create index runs_machine on runs (machine, started desc);
create index runs_word on runs (machine, word, state, ended desc);
create index runs_going on runs (tenant, started desc) where ended is null;

create table copies (
    id uuid primary key not null,
    tenant uuid not null,
    client uuid not null,
    machine uuid not null references machines (id),
    destination uuid not null references destinations (id),
    offsite boolean not null,
    ended bigint not null,
    newest bigint not null,
    verdict text not null
);
create index copies_machine on copies (machine, ended desc);

create table drills (
    id uuid primary key not null,
    tenant uuid not null,
    client uuid not null,
    machine uuid not null references machines (id),
    kind text not null,
    ended bigint not null,
    verdict text not null,
    evidence text not null
);
create index drills_machine on drills (machine, ended desc);

create table repositories (
    machine uuid primary key not null references machines (id),
    hash bytea,
    stored bigint not null,
    quota bigint
);

create table receipts (
    machine uuid not null references machines (id),
    kind text not null,
    name text not null,
    size bigint not null,
    sha256 bytea not null,
    received bigint not null,
    primary key (machine, kind, name)
);
create index receipts_received on receipts (machine, received);

create table alerts (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    client uuid,
    machine uuid,
    key text not null,
    opened bigint not null,
    closed bigint,
    done boolean not null,
    document text not null
);
create unique index alerts_open on alerts (tenant, key) where closed is null;
create index alerts_board on alerts (tenant, done);
create index alerts_opened on alerts (tenant, opened desc);

create table silences (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    client uuid not null,
    machine uuid,
    until bigint not null,
    document text not null
);
create index silences_tenant on silences (tenant, until desc);

create table notifications (
    id text primary key not null,
    tenant uuid not null references tenants (id),
    recipient text not null,
    document text not null,
    made bigint not null,
    due bigint not null,
    attempts bigint not null,
    ended bigint,
    failure text
);
create index notifications_due on notifications (due) where ended is null;
create index notifications_tenant on notifications (tenant, made desc);

create table sessions (
    id uuid primary key not null,
    hash bytea not null unique,
    person uuid not null references people (id),
    device text not null,
    opened bigint not null,
    seen bigint not null,
    ends bigint not null
);
create index sessions_person on sessions (person);

-- Links that let somebody in once.
create table links (
    hash bytea primary key not null,
    person uuid not null references people (id),
    ends bigint not null
);

create table tokens (
    id uuid primary key not null,
    hash bytea not null unique,
    person uuid not null references people (id),
    name text not null,
    acts text not null,
    made bigint not null,
    ends bigint not null
);
create index tokens_person on tokens (person);

create table grants (
    id uuid primary key not null,
    tenant uuid not null references tenants (id),
    person uuid not null references people (id),
    client uuid not null references clients (id),
    machines text,
    verbs text not null,
    begins bigint not null,
    ends bigint not null,
    reason text not null,
    approved_by uuid not null references people (id),
    ended bigint
);
create index grants_person on grants (person, ends);
create index grants_tenant on grants (tenant, ends desc);

create table audit (
    tenant uuid not null references tenants (id),
    number bigint not null,
    at bigint not null,
    actor_key text not null,
    actor_name text not null,
    act text not null,
    about text not null,
    detail text not null,
    hash bytea not null,
    primary key (tenant, number)
);

create table settings (
    tenant uuid not null,
    name text not null,
    value text not null,
    primary key (tenant, name)
);
