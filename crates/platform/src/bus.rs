//! The message bus of the system (D-Bus), where desktop services tell about power, links and sleep. Which bus is asked is a
//! value, so that tests can show another one.

use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;
use zbus::{Connection, Message, OwnedVariant};

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusAddress {
    /// The system's.
    System,
    /// The one at an address such as `unix:path=/run/bus`.
    At(String),
}

/// A connection to a bus.
#[derive(Debug)]
pub struct Bus {
    runtime: Runtime,
    connection: Connection,
}

/// A property of an object of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Property<'p> {
    pub(crate) service: &'p str,
    pub(crate) path: &'p str,
    pub(crate) interface: &'p str,
    pub(crate) name: &'p str,
}

impl Bus {
    /// Connects; an error where there is no such bus.
    pub fn open(address: &BusAddress) -> io::Result<Bus> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let builder = match address {
            BusAddress::System => zbus::connection::Builder::system(),
            BusAddress::At(address) => zbus::connection::Builder::address(address.as_str()),
        };
        let connected = runtime.block_on(async { tokio::time::timeout(PATIENCE, builder.build()).await });
        let connection = connected.map_err(io::Error::other)?.map_err(io::Error::other)?;
        Ok(Bus { runtime, connection })
    }

    /// A property's value; none if nobody answers, or with something else.
    pub(crate) fn property<T: TryFrom<OwnedVariant>>(&self, property: Property<'_>) -> Option<T> {
        let Property { service, path, interface, name } = property;
        let body = (interface, name);
        let ask =
            self.connection.call_method(Some(service), path, Some("org.freedesktop.DBus.Properties"), "Get", &body);
        let answer: Message = self.wait(ask)?.ok()?;
        let value: OwnedVariant = answer.body().deserialize().ok()?;
        value.try_into().ok()
    }

    /// Waits for something on this bus; none if it takes too long.
    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, what).await.ok() })
    }

    /// Waits for something on this bus as long as it takes.
    pub(crate) fn wait_on<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}
