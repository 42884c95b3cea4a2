//! Moments as they are stored: microseconds since 1970.

use jiff::Timestamp;

use crate::{Error, Result};

/// As it is stored.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// As it is used.
pub(crate) fn moment(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|error| Error::stored("a time")(error.into()))
}

/// The same for what may be missing.
pub(crate) fn moment_if(micros: Option<i64>) -> Result<Option<Timestamp>> {
    micros.map(moment).transpose()
}
