//! A wire between a client and servers of this machine: it counts what goes through, can be cut and be mended. With
//! several servers it is what stands before them: each connection goes to the next one that answers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A port of this machine whose connections lead to servers'.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sent: AtomicU64,
    turn: AtomicUsize,
    is_cut: AtomicBool,
    /// Both ends of what goes through now.
    connections: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// A wire to the server at that port.
    pub fn to(server: u16) -> Wire {
        Wire::to_any(vec![server])
    }

    /// A wire to the servers at those ports, in turn; one that does not answer is passed over.
    pub fn to_any(servers: Vec<u16>) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                its.connect(client, &servers);
            }
        });
        Wire { port, shared }
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that clients sent to the server so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(SeqCst)
    }

    /// Breaks all connections; new ones break at once.
    pub fn cut(&self) {
        self.shared.is_cut.store(true, SeqCst);
        for end in self.shared.connections.lock().expect("no panic").drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// New connections go through again.
    pub fn mend(&self) {
        self.shared.is_cut.store(false, SeqCst);
    }
}

impl Shared {
    fn connect(self: &Arc<Shared>, client: TcpStream, servers: &[u16]) -> Option<()> {
        if self.is_cut.load(SeqCst) {
            return None;
        }
        let turn = self.turn.fetch_add(1, SeqCst);
        let mut in_turn = servers.iter().cycle().skip(turn % servers.len()).take(servers.len());
        let server = in_turn.find_map(|server| TcpStream::connect(("127.0.0.1", *server)).ok())?;
        let (client_end, server_end) = (client.try_clone().ok()?, server.try_clone().ok()?);
        {
            let mut connections = self.connections.lock().expect("no panic");
            connections.push(client.try_clone().ok()?);
            connections.push(server.try_clone().ok()?);
        }
        if self.is_cut.load(SeqCst) {
            let _ = client.shutdown(Shutdown::Both);
            return None;
        }
        let its = Arc::clone(self);
        std::thread::spawn(move || {
            pass_on(client, server, &|bytes| {
                its.sent.fetch_add(bytes, SeqCst);
            })
        });
        std::thread::spawn(move || pass_on(server_end, client_end, &|_| ()));
        Some(())
    }
}

/// Until one end is closed; then the other one is, too.
fn pass_on(mut from: TcpStream, mut to: TcpStream, count: &dyn Fn(u64)) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        count(length as u64);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
