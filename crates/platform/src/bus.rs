//! The message bus of the system (D-Bus), where desktop services tell about power, links and sleep. Which bus is asked is a
//! value, so that tests can show another one.

use std::collections::HashMap;
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

/// An interface of an object of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface<'i> {
    pub(crate) service: &'i str,
    pub(crate) path: &'i str,
    pub(crate) name: &'i str,
}

/// What an object said of itself at one moment, by the names of its properties.
pub(crate) struct Properties(HashMap<String, OwnedVariant>);

impl Properties {
    /// A property's value; none if there is no such one, or it is something else.
    pub(crate) fn get<T: TryFrom<OwnedVariant>>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.try_clone().ok()?.try_into().ok()
    }
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

    /// All properties of an interface, as of one moment: asked for one by one, they may never have been so together. None
    /// if nobody answers, or with something else.
    pub(crate) fn properties(&self, interface: Interface<'_>) -> Option<Properties> {
        let Interface { service, path, name } = interface;
        let (asked, body) = (Some("org.freedesktop.DBus.Properties"), (name,));
        let ask = self.connection.call_method(Some(service), path, asked, "GetAll", &body);
        let answer: Message = self.wait(ask)?.ok()?;
        answer.body().deserialize().ok().map(Properties)
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
