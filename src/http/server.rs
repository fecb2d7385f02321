//! The listening socket and its connections: what is too slow, too big or too much is turned away here.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use super::room::{Place, Room};

/// How long open connections may go on once the server stops: an idle client must not hold up the exit.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// What a request line and its headers may have together.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// How many headers a request may have.
const MAX_HEADERS: usize = 64;
/// The pause after a connection could not be accepted: there are no file descriptors left, say.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// So many at once; where there are more, one that waits for its client is closed.
    pub connections: usize,
    /// How long a request line and its headers may take to arrive, and how long a connection may be idle.
    pub headers_within: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 512, headers_within: Duration::from_secs(15) }
    }
}

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
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()> + Send,
) {
    let open = GracefulShutdown::new();
    let room = Room::new(bounds.connections);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer(address);
                if let Some(place) = room.enter(peer.network()) {
                    let within = bounds.headers_within;
                    tokio::spawn(serve_connection(
                        stream,
                        peer,
                        router.clone(),
                        open.watcher(),
                        place,
                        within,
                    ));
                }
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    drop(listener);
    // Whoever is slower than that is cut off.
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, open.shutdown()).await;
}

/// Answers all that comes over a connection, until it has to give way to another.
async fn serve_connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    watcher: Watcher,
    place: Place,
    headers_within: Duration,
) {
    let answering = place.answering.clone();
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let (router, answering) = (router.clone(), answering.clone());
        async move {
            // One with a body is not there yet.
            let under_way = request.body().is_end_stream().then(|| answering.begin());
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(answering);
            let response = router.oneshot(request).await;
            drop(under_way);
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers_within)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // A connection that breaks is its client's affair.
    tokio::select! {
        _ = watcher.watch(connection) => {}
        () = place.give_way.notified() => {}
    }
}
