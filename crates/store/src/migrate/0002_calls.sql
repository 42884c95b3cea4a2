-- Who tends repositories, and what the gateway remembers of each.

create table keepers (
    id uuid primary key not null,
    name text not null unique,
    -- What it proves itself with, how often it did, and what keys are sealed to.
    identity bytea not null unique,
    public bytea not null unique,
    counter bigint not null,
    quarantined text,
    added bigint not null
);

-- What keepers show to the gateway.
create table keeper_accounts (
    id uuid primary key not null,
    keeper uuid not null references keepers (id),
    hash bytea not null,
    ends bigint not null
);
create index keeper_accounts_keeper on keeper_accounts (keeper);

-- Whom the machine's key is sealed to.
alter table machines add column sealed_to bytea;

-- Since when the machine adds no keys any more; the time before which no receipt is dated; what a day may bring.
alter table repositories add column closed bigint;
alter table repositories add column newest bigint not null default 0;
alter table repositories add column daily_bytes bigint;
alter table repositories add column daily_snapshots bigint;

alter table receipts add column account text not null default '';

create table received_days (
    machine uuid not null references machines (id),
    day text not null,
    bytes bigint not null,
    snapshots bigint not null,
    primary key (machine, day)
);

create index jobs_worker on jobs (worker) where state = 'taken';
