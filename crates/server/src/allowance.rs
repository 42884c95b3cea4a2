//! Allowance: how much a connection may still send. Without one it may send what it likes; strangers on a socket may not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const UNLIMITED: u64 = u64::MAX;

/// Bytes that may still come. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Allowance(Arc<AtomicU64>);

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance(Arc::new(AtomicU64::new(UNLIMITED)))
    }
}

impl Allowance {
    /// So much, and no more.
    pub(crate) fn limit(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// As much as it likes.
    pub(crate) fn lift(&self) {
        self.0.store(UNLIMITED, Ordering::Relaxed);
    }

    fn spend(&self, bytes: u64) {
        let less = |left: u64| (left != UNLIMITED).then(|| left.saturating_sub(bytes));
        _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A connection with its allowance. When that is spent, reading fails.
pub(crate) struct Allowed<S> {
    stream: S,
    allowance: Allowance,
}

impl<S> Allowed<S> {
    pub(crate) fn new(stream: S, allowance: Allowance) -> Allowed<S> {
        Allowed { stream, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Allowed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.allowance.is_spent() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too much was sent")));
        }
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        self.allowance.spend((into.filled().len() - before) as u64);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Allowed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn who_sends_more_than_allowed_is_not_read_any_more() {
        let allowance = Allowance::default();
        let mut stream = Allowed::new([7_u8; 64].as_slice(), allowance.clone());
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
        allowance.limit(16);
        stream.read_exact(&mut some).await.unwrap();
        assert_eq!(stream.read(&mut some).await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        allowance.lift();
        assert_eq!(stream.read(&mut some).await.unwrap(), 16);
    }
}
