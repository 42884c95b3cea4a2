//! A desktop's services on a bus of their own: UPower, NetworkManager and logind, as far as the agent asks them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use tokio::runtime::Runtime;
use zbus::message::Type;
use zbus::{Connection, MessageStream, OwnedFd, Variant};

/// What the services say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Says {
    pub(crate) on_battery: bool,
    pub(crate) percent: f64,
    /// NetworkManager's number: 1 metered, 4 guessed not.
    pub(crate) metered: u32,
    /// NetworkManager's number: 2 portal, 4 full.
    pub(crate) connectivity: u32,
}

/// On mains, at home.
pub(crate) const AT_HOME: Says = Says { on_battery: false, percent: 100.0, metered: 4, connectivity: 4 };

struct Shared {
    says: Mutex<Says>,
    /// Whoever has the other end delays sleep.
    inhibitors: Mutex<Vec<PipeReader>>,
}

/// The bus and its services.
pub(crate) struct Desktop {
    daemon: Child,
    address: String,
    shared: Arc<Shared>,
    connection: Connection,
    runtime: Runtime,
    _room: tempfile::TempDir,
}

impl Desktop {
    /// None where there is no dbus-daemon.
    pub(crate) fn start() -> Option<Desktop> {
        // A socket that has a path can be reached from every network namespace.
        let room = tempfile::tempdir().expect("room");
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--nosyslog", "--print-address=1"]);
        command.arg(format!("--address=unix:path={}", room.path().join("bus").display()));
        let Ok(mut daemon) = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            testkit::peer::skip("there is no dbus-daemon");
            return None;
        };
        let mut address = String::new();
        BufReader::new(daemon.stdout.as_mut().expect("a pipe")).read_line(&mut address).expect("an address");
        let address = address.trim().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared { says: Mutex::new(AT_HOME), inhibitors: Mutex::default() });
        let connection = runtime.block_on(async {
            let builder = zbus::connection::Builder::address(address.as_str());
            let connection = builder.build().await.expect("a connection");
            let stream = MessageStream::from(&connection);
            tokio::spawn(serve(connection.clone(), stream, Arc::clone(&shared)));
            for name in ["org.freedesktop.UPower", "org.freedesktop.NetworkManager", "org.freedesktop.login1"] {
                connection.request_name(name).await.expect("a name");
            }
            connection
        });
        Some(Desktop { daemon, address, shared, connection, runtime, _room: room })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn says(&self, says: Says) {
        *self.shared.says.lock().unwrap() = says;
    }

    /// The system says that it is about to sleep, or awake.
    pub(crate) fn sleeps(&self, begins: bool) {
        let (path, interface) = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager");
        let signal = self.connection.emit_signal(None::<&str>, path, interface, "PrepareForSleep", &begins);
        self.runtime.block_on(signal).expect("it is sent");
    }

    /// How often somebody asked to be waited for.
    pub(crate) fn inhibitors(&self) -> usize {
        self.shared.inhibitors.lock().unwrap().len()
    }

    /// Waits until the last of those who asked lets the system sleep.
    pub(crate) fn until_released(&self) {
        let mut last = self.shared.inhibitors.lock().unwrap().pop().expect("somebody asked");
        assert_eq!(last.read(&mut [0]).expect("our own pipe"), 0);
    }
}

/// What an object of that interface says of itself.
fn properties(interface: &str, said: Says) -> HashMap<&'static str, Variant<'static>> {
    match interface {
        "org.freedesktop.UPower" => [("OnBattery", Variant::from(said.on_battery))].into(),
        "org.freedesktop.UPower.Device" => {
            [("IsPresent", Variant::from(true)), ("Percentage", Variant::from(said.percent))].into()
        }
        _ => [
            ("State", Variant::from(70_u32)),
            ("Connectivity", Variant::from(said.connectivity)),
            ("Metered", Variant::from(said.metered)),
        ]
        .into(),
    }
}

async fn serve(connection: Connection, mut stream: MessageStream, shared: Arc<Shared>) {
    while let Some(Ok(message)) = stream.next().await {
        if message.message_type() != Type::MethodCall {
            continue;
        }
        let header = message.header();
        let member = header.member().map(|member| member.to_string()).unwrap_or_default();
        let said = *shared.says.lock().unwrap();
        let sent = match member.as_str() {
            "GetAll" => {
                let Ok(interface) = message.body().deserialize::<String>() else { continue };
                connection.reply(&header, &properties(&interface, said)).await
            }
            "Inhibit" => {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                let end = OwnedFd::from(std::os::fd::OwnedFd::from(writer));
                let sent = connection.reply(&header, &end).await;
                shared.inhibitors.lock().unwrap().push(reader);
                sent
            }
            _ => continue,
        };
        sent.expect("it is sent");
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        _ = self.daemon.kill();
        _ = self.daemon.wait();
    }
}
