//! The listening socket and its connections: what is too slow, too big or too much is turned away here.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

/// How long open connections may go on once the server stops: an idle client must not hold up the exit.
pub const GRACE: Duration = Duration::from_secs(2);
/// How long a request line and its headers may take to arrive, and how long a connection may be idle.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);
/// What a request line and its headers may have together.
const HEAD_BYTES: usize = 16 * 1024;
/// How many headers a request may have.
const MAX_HEADERS: usize = 64;
/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 512;
/// The pause after a connection could not be accepted: there are no file descriptors left, say.
const PAUSE: Duration = Duration::from_millis(100);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("http.listen is {address}, {}", why(.cause))]
pub struct BindError {
    address: SocketAddr,
    cause: io::Error,
}

/// What is wrong with an address, and what to do about it.
fn why(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "and another process listens there: set http.listen to another port, or end that process \
             (`ss -ltnp` names it)"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "which is no address of this machine: set http.listen to one that is".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "and this user may not listen there: set http.listen to a port from 1024 on".to_owned()
        }
        _ => format!("which cannot be listened on ({cause}): set http.listen to another address"),
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// What one party has to itself: an IPv4 address, or the 64 bits of an IPv6 address that are given out together.
    pub fn network(self) -> IpAddr {
        match self.0.ip().to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        }
    }
}

/// Opens the listening socket; ask the listener for the address where the port was 0.
///
/// # Errors
///
/// One sentence naming the setting and the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|cause| BindError { address, cause })
}

/// Serves until `shutdown` completes, and a moment longer for connections that are open then.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send) {
    let open = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                tokio::spawn(converse(stream, peer, router.clone(), open.watcher(), permit));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    drop(listener);
    // Whoever is slower than that is cut off.
    let _ = tokio::time::timeout(GRACE, open.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

/// Answers all that comes over a connection.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    watcher: Watcher,
    _permit: OwnedSemaphorePermit,
) {
    let service = router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(Peer(peer));
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // A connection that breaks is its client's affair.
    let _ = watcher.watch(connection).await;
}
