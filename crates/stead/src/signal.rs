//! Ctrl-C, SIGTERM and SIGHUP: the first asks for a clean end, the second ends at once.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use repo::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::failure::{Doing, Outcome};
use crate::password;

/// Listens from now on; both of what is returned are set by the first signal.
pub(crate) fn listen() -> Outcome<(Cancel, Arc<AtomicBool>)> {
    let cancel = Cancel::default();
    let doing = || "cannot listen for signals".to_owned();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).doing(doing)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let (asked, flag) = (cancel.clone(), Arc::clone(&stopped));
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                if password::show_typing_again() || asked.is_cancelled() {
                    std::process::exit(Exit::Interrupted.code().into());
                }
                asked.cancel();
                flag.store(true, Ordering::SeqCst);
                _ = writeln!(std::io::stderr(), "stopping; once more to stop at once");
            }
        })
        .doing(doing)?;
    Ok((cancel, stopped))
}
