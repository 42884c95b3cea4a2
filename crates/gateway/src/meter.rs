//! Figures for Prometheus. Labels are kinds and results, never names, so that there are few series however large a fleet is.

use std::net::IpAddr;
use std::time::Duration;

use backend::FileKind;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::SecretHash;

/// Upper bounds of how long storing takes, in seconds.
const SECONDS: [f64; 8] = [0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0];

/// Collects this process's figures.
#[derive(Clone)]
pub struct Meter(PrometheusHandle);

/// Who may see the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Programs of this machine.
    Loopback,
    /// Whoever shows this token: `Authorization: Bearer …`.
    Token(SecretHash),
}

impl Meter {
    /// Collects from now on all that this process counts with the `metrics` crate; `None` where somebody does already.
    pub fn install() -> Option<Meter> {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS).ok()?;
        builder.install_recorder().ok().map(Meter)
    }

    /// The figures in Prometheus's text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// To be called every few seconds, so that memory does not grow where nobody asks for figures.
    pub(crate) fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

impl Viewer {
    /// Whether whoever asks from `address` with that header may see the figures.
    pub(crate) fn may(self, address: IpAddr, authorization: Option<&str>) -> bool {
        match self {
            Viewer::Loopback => address.to_canonical().is_loopback(),
            Viewer::Token(token) => {
                authorization.and_then(|header| header.strip_prefix("Bearer ")).is_some_and(|given| token.is_of(given))
            }
        }
    }
}

pub(crate) fn answered(method: &http::Method, status: http::StatusCode) {
    let method = match *method {
        http::Method::GET => "GET",
        http::Method::HEAD => "HEAD",
        http::Method::POST => "POST",
        http::Method::DELETE => "DELETE",
        _ => "other",
    };
    counter!("gateway_requests_total", "method" => method, "status" => status.as_u16().to_string()).increment(1);
}

pub(crate) fn received(kind: FileKind, bytes: u64, storing: Duration) {
    counter!("gateway_received_files_total", "kind" => kind.directory()).increment(1);
    counter!("gateway_received_bytes_total", "kind" => kind.directory()).increment(bytes);
    histogram!("gateway_storing_seconds").record(storing);
}

pub(crate) fn sent(kind: FileKind, bytes: u64) {
    counter!("gateway_sent_bytes_total", "kind" => kind.directory()).increment(bytes);
}

pub(crate) fn failed_attempt() {
    counter!("gateway_failed_attempts_total").increment(1);
}

pub(crate) fn lock_expired() {
    counter!("gateway_expired_locks_total").increment(1);
}

pub(crate) fn connections(number: f64) {
    gauge!("gateway_connections").set(number);
}

pub(crate) fn refused_connection() {
    counter!("gateway_refused_connections_total").increment(1);
}

pub(crate) fn scrubbed(bytes: u64, is_good: bool) {
    counter!("gateway_scrubbed_bytes_total").increment(bytes);
    if !is_good {
        counter!("gateway_scrubbed_bad_total").increment(1);
    }
}
