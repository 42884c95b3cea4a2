//! Where repositories are stored: the backend of each, opened once.

use std::collections::HashMap;
use std::sync::Arc;

use backend::Backend;
use parking_lot::Mutex;

use crate::RepositoryName;

/// Opens the storage of a repository. Any function from names to backends is one.
pub trait Repositories: Send + Sync {
    /// The bare storage of that repository, which need not have been created.
    fn open(&self, name: &RepositoryName) -> backend::Result<Arc<dyn Backend>>;
}

impl<F> Repositories for F
where
    F: Fn(&RepositoryName) -> backend::Result<Arc<dyn Backend>> + Send + Sync,
{
    fn open(&self, name: &RepositoryName) -> backend::Result<Arc<dyn Backend>> {
        self(name)
    }
}

/// Keeps what was opened: as many as there are repositories that somebody holds a credential for.
pub(crate) struct Opened {
    from: Arc<dyn Repositories>,
    open: Mutex<HashMap<RepositoryName, Arc<dyn Backend>>>,
}

impl Opened {
    pub(crate) fn new(from: Arc<dyn Repositories>) -> Opened {
        Opened { from, open: Mutex::default() }
    }

    pub(crate) fn get(&self, name: &RepositoryName) -> backend::Result<Arc<dyn Backend>> {
        if let Some(backend) = self.open.lock().get(name) {
            return Ok(Arc::clone(backend));
        }
        // Opening may start programs: others need not wait for it.
        let opened = self.from.open(name)?;
        Ok(Arc::clone(self.open.lock().entry(name.clone()).or_insert(opened)))
    }
}
