//! A TCP proxy in front of a server: the server can be away, and connections can break under whoever uses them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

/// Forwards to a server while it is open; gone with the test.
pub struct Proxy {
    address: SocketAddr,
    target: String,
    state: State,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

enum State {
    /// The port is ours, and nobody listens: whoever connects is refused.
    Closed(TcpSocket),
    Open(JoinHandle<()>),
    /// Between the two.
    Moving,
}

impl Proxy {
    /// Reserves a port for a server at `host:port`; closed.
    pub fn new(target: &str) -> Self {
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { address, target: target.to_owned(), state: State::Closed(socket), connections: Arc::default() }
    }

    /// The proxy's own `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Lets connections in.
    pub fn open(&mut self) {
        let State::Closed(socket) = std::mem::replace(&mut self.state, State::Moving) else {
            panic!("the proxy is open already");
        };
        let listener = socket.listen(64).expect("the port is ours");
        let forward = forward(listener, self.target.clone(), Arc::clone(&self.connections));
        self.state = State::Open(tokio::spawn(forward));
    }

    /// Breaks every connection and refuses new ones.
    pub async fn close(&mut self) {
        if let State::Open(task) = std::mem::replace(&mut self.state, State::Moving) {
            task.abort();
            // Its listener is gone only when the task is.
            drop(task.await);
        }
        self.cut();
        self.state = State::Closed(bound(self.address));
    }

    /// Breaks every connection there is; how many that was.
    pub fn cut(&self) -> usize {
        let mut connections = self.connections.lock().expect("nobody panics with it");
        connections.retain(|connection| !connection.is_finished());
        connections.drain(..).map(|connection| connection.abort()).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let State::Open(task) = &self.state {
            task.abort();
        }
        self.cut();
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of the socket");
    socket.bind(address).expect("a port of our own");
    socket
}

async fn forward(listener: TcpListener, target: String, connections: Arc<Mutex<Vec<AbortHandle>>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let target = target.clone();
        let connection = tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(&target).await {
                // However it ends, both sides see the end.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        connections.lock().expect("nobody panics with it").push(connection.abort_handle());
    }
}
