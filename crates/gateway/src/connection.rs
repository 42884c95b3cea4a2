//! Connections: accepted up to a number, in all and per address, with time limits from the first byte on.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;

use crate::meter;

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at the same time.
    pub connections: usize,
    /// Connections of one address at the same time; offices share addresses.
    pub per_address: usize,
    /// Files that are received and sent at the same time; each has a few megabytes of memory.
    pub transfers: usize,
    /// Time for a handshake, and for the head of a request.
    pub greeting: Duration,
    /// Time in which at least one byte of a body has to come, and one of an answer be taken.
    pub standstill: Duration,
    /// Bytes per second of a body on average, after the first minute.
    pub slowest: u64,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections: 8192,
            per_address: 1024,
            transfers: 256,
            greeting: Duration::from_secs(30),
            standstill: Duration::from_secs(60),
            slowest: 512,
        }
    }
}

/// Counts connections.
pub(crate) struct Count {
    limits: ConnectionLimits,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is counted while this lives.
pub(crate) struct Counted {
    count: Arc<Count>,
    address: IpAddr,
}

impl Count {
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Count> {
        Arc::new(Count { limits, open: Mutex::default() })
    }

    /// Counts a connection; `None` where there are too many.
    pub(crate) fn add(self: &Arc<Count>, from: SocketAddr) -> Option<Counted> {
        let address = from.ip().to_canonical();
        let mut open = self.open.lock();
        let all = open.values().sum::<usize>();
        let own = open.get(&address).copied().unwrap_or(0);
        if all >= self.limits.connections || own >= self.limits.per_address {
            meter::refused_connection();
            return None;
        }
        open.insert(address, own + 1);
        meter::connections((all + 1) as f64);
        Some(Counted { count: Arc::clone(self), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.count.open.lock();
        if let Some(own) = open.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.address);
            }
        }
        meter::connections(open.values().sum::<usize>() as f64);
    }
}

/// How HTTP is spoken. Windows are wide enough for packs over long distances.
pub(crate) fn protocol(limits: &ConnectionLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.greeting).max_headers(64).half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.standstill)
        .keep_alive_timeout(limits.greeting)
        .max_concurrent_streams(64)
        .max_header_list_size(16 << 10)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(256 << 10)
        .max_send_buf_size(1 << 20);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_per_address_and_in_all() {
        let limits = ConnectionLimits { connections: 3, per_address: 2, ..ConnectionLimits::default() };
        let count = Count::new(limits);
        let from = |last: u8| SocketAddr::from(([10, 0, 0, last], 1000));
        let first = count.add(from(1)).unwrap();
        let _second = count.add(from(1)).unwrap();
        assert!(count.add(from(1)).is_none(), "too many of one address");
        let _third = count.add(from(2)).unwrap();
        assert!(count.add(from(3)).is_none(), "too many in all");
        drop(first);
        assert!(count.add(from(3)).is_some());
        assert_eq!(count.open.lock().len(), 2);
    }
}
