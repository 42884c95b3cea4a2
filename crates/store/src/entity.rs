//! Entities: the rows of each table, as SeaORM sees them. What they mean is said in `migrate/*.sql`.

use sea_orm::entity::prelude::*;

/// Declares the entity of a table. Fields are columns; the first ones are marked as the primary key.
macro_rules! entity {
    ($module:ident, $table:literal, { $($(#[$key:meta])* $field:ident: $kind:ty,)* }) => {
        pub(crate) mod $module {
            use super::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub(crate) struct Model {
                $($(#[$key])* pub(crate) $field: $kind,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub(crate) enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

entity!(tenants, "tenants", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    name: String,
});

entity!(people, "people", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    name: String,
    email: String,
    password: Option<String>,
    totp: Option<Vec<u8>>,
    totp_step: i64,
});

entity!(memberships, "memberships", {
    #[sea_orm(primary_key, auto_increment = false)]
    tenant: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    person: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    role: String,
});

entity!(clients, "clients", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    name: String,
    zone: String,
    custody: String,
    sheet_confirmed: Option<i64>,
});

entity!(sites, "sites", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    name: String,
});

entity!(policies, "policies", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    name: String,
    document: String,
});

entity!(destinations, "destinations", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    name: String,
    document: String,
});

entity!(machines, "machines", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    site: Option<Uuid>,
    name: String,
    class: String,
    policy: Option<Uuid>,
    limits: Option<String>,
    enrolled: i64,
    pause: Option<String>,
    retired: Option<i64>,
    identity: Option<Vec<u8>>,
    counter: i64,
    hardware: Option<String>,
    quarantined: Option<String>,
    sealed_key: Option<Vec<u8>>,
    rank: i64,
    state: String,
    paused: bool,
    sentence: String,
    lights: String,
    percent: Option<i64>,
    bar: String,
    judged: i64,
    recheck: i64,
    sealed_to: Option<Vec<u8>>,
    joined_by: Option<Uuid>,
});

entity!(heartbeats, "heartbeats", {
    #[sea_orm(primary_key, auto_increment = false)]
    machine: Uuid,
    heard: i64,
    version: String,
    address: String,
});

entity!(days_in_use, "days_in_use", {
    #[sea_orm(primary_key, auto_increment = false)]
    machine: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    day: String,
});

entity!(codes, "enrolment_codes", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    hash: Vec<u8>,
    class: String,
    policy: Option<Uuid>,
    uses_left: i64,
    expires: i64,
    made_by: String,
});

entity!(jobs, "jobs", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    machine: Uuid,
    word: String,
    kind: String,
    key: String,
    orders: String,
    asked_by: Option<String>,
    due: i64,
    attempts: i64,
    state: String,
    leased_until: Option<i64>,
    worker: Option<String>,
});

entity!(runs, "runs", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    machine: Uuid,
    job: Option<Uuid>,
    word: String,
    kind: String,
    started: i64,
    progress: String,
    ended: Option<i64>,
    state: String,
    outcome: Option<String>,
    snapshots: String,
});

entity!(copies, "copies", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    machine: Uuid,
    destination: Uuid,
    offsite: bool,
    ended: i64,
    newest: i64,
    verdict: String,
});

entity!(drills, "drills", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    machine: Uuid,
    kind: String,
    ended: i64,
    verdict: String,
    evidence: String,
});

entity!(repositories, "repositories", {
    #[sea_orm(primary_key, auto_increment = false)]
    machine: Uuid,
    hash: Option<Vec<u8>>,
    stored: i64,
    quota: Option<i64>,
    closed: Option<i64>,
    newest: i64,
    daily_bytes: Option<i64>,
    daily_snapshots: Option<i64>,
});

entity!(received_days, "received_days", {
    #[sea_orm(primary_key, auto_increment = false)]
    machine: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    day: String,
    bytes: i64,
    snapshots: i64,
});

entity!(keepers, "keepers", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    name: String,
    identity: Vec<u8>,
    public: Vec<u8>,
    counter: i64,
    quarantined: Option<String>,
    added: i64,
    server: Option<Uuid>,
    connected: i64,
});

entity!(keeper_accounts, "keeper_accounts", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    keeper: Uuid,
    hash: Vec<u8>,
    ends: i64,
});

entity!(relays, "relays", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    keeper: Uuid,
    question: Vec<u8>,
    heard: i64,
    ends: i64,
});

entity!(relay_pieces, "relay_pieces", {
    #[sea_orm(primary_key, auto_increment = false)]
    relay: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    number: i64,
    bytes: Vec<u8>,
});

entity!(receipts, "receipts", {
    #[sea_orm(primary_key, auto_increment = false)]
    machine: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    name: String,
    size: i64,
    sha256: Vec<u8>,
    received: i64,
    account: String,
});

entity!(alerts, "alerts", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Option<Uuid>,
    machine: Option<Uuid>,
    key: String,
    opened: i64,
    closed: Option<i64>,
    done: bool,
    document: String,
});

entity!(silences, "silences", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    machine: Option<Uuid>,
    until: i64,
    document: String,
});

entity!(notifications, "notifications", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    tenant: Uuid,
    recipient: String,
    document: String,
    made: i64,
    due: i64,
    attempts: i64,
    ended: Option<i64>,
    failure: Option<String>,
});

entity!(sessions, "sessions", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    hash: Vec<u8>,
    person: Uuid,
    device: String,
    opened: i64,
    seen: i64,
    ends: i64,
});

entity!(links, "links", {
    #[sea_orm(primary_key, auto_increment = false)]
    hash: Vec<u8>,
    person: Uuid,
    ends: i64,
});

entity!(tokens, "tokens", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    hash: Vec<u8>,
    person: Uuid,
    name: String,
    acts: String,
    made: i64,
    ends: i64,
});

entity!(passkeys, "passkeys", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    person: Uuid,
    credential: Vec<u8>,
    name: String,
    document: String,
    made: i64,
    used: Option<i64>,
});

entity!(grants, "grants", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    tenant: Uuid,
    person: Uuid,
    client: Uuid,
    machines: Option<String>,
    verbs: String,
    begins: i64,
    ends: i64,
    reason: String,
    approved_by: Uuid,
    ended: Option<i64>,
});

entity!(audit, "audit", {
    #[sea_orm(primary_key, auto_increment = false)]
    tenant: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    number: i64,
    at: i64,
    actor_key: String,
    actor_name: String,
    act: String,
    about: String,
    detail: String,
    hash: Vec<u8>,
});

entity!(settings, "settings", {
    #[sea_orm(primary_key, auto_increment = false)]
    tenant: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    name: String,
    value: String,
});
