-- At which server a keeper is connected, as that server said, and until when that counts.
alter table keepers add column server uuid;
alter table keepers add column connected bigint not null default 0;

-- What a server asks of a keeper that is connected to another one, sealed with the servers' key; there only as long as
-- somebody waits. Neither lies in PostgreSQL's log nor in its backups.
create unlogged table relays (
    id uuid primary key not null,
    keeper uuid not null,
    question bytea not null,
    -- 0: nobody has taken it; -1: whoever did cannot open it; else how often that server was heard.
    heard bigint not null,
    ends bigint not null
);

create unlogged table relay_pieces (
    relay uuid not null references relays (id) on delete cascade,
    number bigint not null,
    bytes bytea not null,
    primary key (relay, number)
);
