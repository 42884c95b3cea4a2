//! Pages: one file for each, its template beside it.

pub(crate) mod acts;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod destinations;
pub(crate) mod enrol;
pub(crate) mod fleet;
pub(crate) mod grants;
pub(crate) mod live;
pub(crate) mod machine;
pub(crate) mod machine_settings;
pub(crate) mod messages;
pub(crate) mod now;
pub(crate) mod own;
pub(crate) mod passkeys;
pub(crate) mod people;
pub(crate) mod plain;
pub(crate) mod policies;
pub(crate) mod row;
pub(crate) mod settings;
pub(crate) mod sheet;
pub(crate) mod sign_in;
pub(crate) mod silence;
pub(crate) mod snapshots;
pub(crate) mod welcome;
