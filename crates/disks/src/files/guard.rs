//! A wall round a library that reads a filesystem: what it asks for is counted, and a panic in it becomes an error.
//!
//! Own readers need none of it. For a library, a filesystem that was made to harm it can be an endless loop or a failed
//! assertion, and neither may take the program with it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Once;

use super::{Bytes, FilesError, Result};

/// Requests that one call of a library may make.
const MOST_REQUESTS: u64 = 4 << 20;

/// Bytes that a library may ask for at once.
const LARGEST_REQUEST: usize = 8 << 20;

/// How much a library may still ask for.
#[derive(Clone, Default)]
pub(super) struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    /// Gives the full allowance for the next call.
    pub(super) fn renew(&self) {
        self.0.set(MOST_REQUESTS);
    }
}

/// A volume as a library sees it.
pub(super) struct Metered {
    volume: Bytes,
    allowance: Allowance,
}

impl Metered {
    pub(super) fn new(volume: Bytes, allowance: Allowance) -> Metered {
        allowance.renew();
        Metered { volume, allowance }
    }

    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        let left = self.allowance.0.get();
        if left == 0 || into.len() > LARGEST_REQUEST {
            return Err(std::io::Error::other("its records lead round in circles"));
        }
        self.allowance.0.set(left - 1);
        self.volume.read_at(offset, into)
    }
}

thread_local! {
    static IS_WALLED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a library's code. A panic in it is an error; what it would have printed is not, because it is one of a file system
/// and not of this program. After one, the library's value may answer every call with an error.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    silence_the_walled();
    let before = IS_WALLED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_WALLED.set(before);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let why = text.unwrap_or("no reason given").lines().next().unwrap_or_default();
        Err(FilesError::Damaged(format!("its records contradict each other ({why})")))
    })
}

/// Panics behind the wall print nothing; all others what they always did.
fn silence_the_walled() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_WALLED.get() {
                usual(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_panic_behind_the_wall_is_an_error() {
        let numbers: Vec<u8> = Vec::new();
        let result = guarded(|| Ok(numbers[3]));
        assert!(result.unwrap_err().to_string().contains("contradict each other"));
        assert_eq!(guarded(|| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn who_reads_without_end_is_refused() {
        let allowance = Allowance::default();
        let metered = Metered::new(Arc::new(vec![7_u8; 512]), allowance.clone());
        let mut byte = [0];
        assert!((0..MOST_REQUESTS).all(|_| metered.read(0, &mut byte).is_ok()));
        assert!(metered.read(0, &mut byte).is_err());
        allowance.renew();
        assert!(metered.read(0, &mut byte).is_ok());
        assert!(metered.read(0, &mut vec![0; LARGEST_REQUEST + 1]).is_err());
    }
}
