-- The code that the machine joined by: shown again with the same key, it is the same machine.
alter table machines add column joined_by uuid;

-- The snapshots that the run made, as JSON: their names in hexadecimal digits.
alter table runs add column snapshots text not null default '[]';
