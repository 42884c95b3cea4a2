//! Store: an open database. SQLite has one writer, whose transactions take the lock at once, and readers beside it.

use std::str::FromStr;
use std::time::Duration;

use continuity::Scope;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::{Error, Result, System, View, migrate};

/// Connections that read at the same time.
const READERS: u32 = 4;

/// Connections to PostgreSQL.
const CONNECTIONS: u32 = 16;

/// How long a connection, or SQLite's lock, is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file of ours.
    Sqlite,
    /// A server.
    Postgres,
}

/// The server's memory, open and migrated. Clones are the same.
#[derive(Clone, Debug)]
pub struct Store {
    readers: DatabaseConnection,
    pub(crate) writer: DatabaseConnection,
}

impl Store {
    /// Opens, or makes, the database at `sqlite:PATH` or `postgres://…`, and brings it to the newest version.
    pub async fn open(address: &str) -> Result<Store> {
        let store = match address.split_once(':') {
            Some(("sqlite", path)) => Store::sqlite(path.strip_prefix("//").unwrap_or(path)).await?,
            Some(("postgres" | "postgresql", _)) => Store::postgres(address).await?,
            _ => return Err(Error::Address(without_password(address))),
        };
        let txn = store.begin().await?;
        migrate::to_newest(&txn).await?;
        txn.commit().await?;
        Ok(store)
    }

    /// What a scope may see and do.
    pub fn within<'s>(&'s self, scope: &'s Scope) -> View<'s> {
        View { store: self, scope }
    }

    /// What tasks, sign-in, agents and the gateway do without a person.
    pub fn system(&self) -> System<'_> {
        System { store: self }
    }

    /// Which database it is.
    pub fn engine(&self) -> Engine {
        match self.writer.get_database_backend() {
            DbBackend::Postgres => Engine::Postgres,
            _ => Engine::Sqlite,
        }
    }

    /// Writes a whole copy of a SQLite database to a new file, while it is used. PostgreSQL has `pg_dump`.
    pub async fn copy_to(&self, path: &str) -> Result<()> {
        use sea_orm::ConnectionTrait;
        match self.engine() {
            Engine::Postgres => Err(Error::Conflict("PostgreSQL is copied by pg_dump".into())),
            Engine::Sqlite => {
                let copy = sea_orm::Statement::from_sql_and_values(DbBackend::Sqlite, "vacuum into ?", [path.into()]);
                self.writer.execute_raw(copy).await?;
                Ok(())
            }
        }
    }

    /// Lets go of the database; of SQLite, all is in its one file then.
    pub async fn close(self) -> Result<()> {
        self.readers.close().await?;
        Ok(self.writer.close().await?)
    }

    /// Connections for reading.
    pub(crate) fn read(&self) -> &DatabaseConnection {
        &self.readers
    }

    /// A transaction that will write. Dropped without a commit, nothing of it stays.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction> {
        let immediate = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..TransactionOptions::default() };
        Ok(self.writer.begin_with_options(options).await?)
    }

    async fn sqlite(path: &str) -> Result<Store> {
        private(path).map_err(|error| cannot_open(path)(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Full: what was answered as done survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE);
        let writer = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        let writer = writer.connect_with(options.clone()).await.map_err(cannot_open(path))?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(PATIENCE);
        let readers = readers.connect_with(options.read_only(true)).await.map_err(cannot_open(path))?;
        Ok(Store { readers: readers.into(), writer: writer.into() })
    }

    async fn postgres(address: &str) -> Result<Store> {
        let options = PgConnectOptions::from_str(address).map_err(cannot_open(address))?;
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        let pool = pool.connect_with(options).await.map_err(cannot_open(address))?;
        let connection: DatabaseConnection = pool.into();
        Ok(Store { readers: connection.clone(), writer: connection })
    }
}

/// Makes the file so that nobody else reads it, but a group whose own the directory is: then server and gateway are different
/// users of one file. SQLite makes the files beside it alike.
fn private(path: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    share(std::path::Path::new(path))?;
    Ok(())
}

/// In a directory that a group writes in and whose files become the group's (mode 2770), the group reads and writes the file.
#[cfg(unix)]
fn share(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    const OF_A_GROUP: u32 = 0o2070;
    const FOR_A_GROUP: u32 = 0o060;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let (folder, file) = (std::fs::metadata(folder.unwrap_or(".".as_ref()))?, std::fs::metadata(path)?);
    let mode = file.mode() & 0o7777;
    let is_shared = folder.mode() & OF_A_GROUP == OF_A_GROUP && folder.gid() == file.gid();
    if !is_shared || mode & FOR_A_GROUP == FOR_A_GROUP {
        return Ok(());
    }
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode | FOR_A_GROUP))
}

fn cannot_open(address: &str) -> impl FnOnce(sqlx::Error) -> Error {
    let address = without_password(address);
    move |error| Error::Open { address, source: DbErr::Conn(RuntimeErr::Internal(error.to_string())) }
}

/// The address without what stands between `:` and `@` of its user, and without its query.
fn without_password(address: &str) -> String {
    let address = address.split('?').next().unwrap_or(address);
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or_default()),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(Store::open(&format!("sqlite:{}", path.display()))).unwrap();
        for name in ["db", "db-wal"] {
            let mode = std::fs::metadata(room.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
        drop(store);
    }

    #[cfg(unix)]
    #[test]
    fn in_a_directory_of_a_group_the_group_has_the_file_too() {
        use std::os::unix::fs::PermissionsExt;
        let room = tempfile::tempdir().unwrap();
        std::fs::set_permissions(room.path(), PermissionsExt::from_mode(0o2770)).unwrap();
        let path = room.path().join("db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(Store::open(&format!("sqlite:{}", path.display()))).unwrap();
        for name in ["db", "db-wal", "db-shm"] {
            let mode = std::fs::metadata(room.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o660, "{name}");
        }
        drop(store);
    }

    #[test]
    fn passwords_are_not_told() {
        let shown = without_password("postgres://stead:hunter2@db.example.org/stead?sslpassword=hunter2");
        assert_eq!(shown, "postgres://stead@db.example.org/stead");
        assert_eq!(without_password("sqlite:/var/lib/stead/db"), "sqlite:/var/lib/stead/db");
    }
}
