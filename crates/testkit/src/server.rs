//! Servers that tests start, which end with them.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server's process, killed when dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts a server and waits until it answers on that port of this machine.
    pub fn start(command: &mut Command, port: u16) -> Server {
        Server::start_until(command, || TcpStream::connect(("127.0.0.1", port)).is_ok())
    }

    /// Starts a server and waits until it answers. Fails the test if it does not, or ends at once.
    pub fn start_until(command: &mut Command, answers: impl Fn() -> bool) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Server(command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}")));
        let begin = Instant::now();
        while !answers() {
            let ended = server.0.try_wait().expect("our own child");
            assert!(ended.is_none(), "the server has ended ({ended:?}): {command:?}");
            assert!(begin.elapsed() < PATIENCE, "the server does not answer: {command:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address").port()
}

/// A port that nobody listens on now, of those that the kernel gives to nobody by itself: a server that is started again
/// finds it free.
pub fn lasting_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
