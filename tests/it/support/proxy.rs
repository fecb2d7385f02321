//! A TCP proxy in front of a server: the server can be away or slow, and connections can break or fall silent under
//! whoever uses them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

/// Forwards to a server while it is open; gone with the test.
pub struct Proxy {
    address: SocketAddr,
    state: State,
    shared: Arc<Shared>,
}

enum State {
    /// The port is ours, and nobody listens: whoever connects is refused.
    Closed(TcpSocket),
    Open(JoinHandle<()>),
    /// Between the two.
    Moving,
}

#[derive(Default)]
struct Shared {
    target: Mutex<String>,
    connections: Mutex<Vec<AbortHandle>>,
    gates: Mutex<Gates>,
}

/// What of the connections is let through.
#[derive(Default)]
struct Gates {
    to_server: watch::Sender<Gate>,
    to_client: watch::Sender<Gate>,
}

#[derive(Clone, Copy, Default)]
struct Gate {
    held: bool,
    pause: Duration,
}

/// One of the two ways through the proxy.
#[derive(Clone, Copy)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Proxy {
    /// Reserves a port for a server at `host:port`; closed.
    pub fn new(target: &str) -> Self {
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().expect("a bound socket has an address");
        let proxy = Self { address, state: State::Closed(socket), shared: Arc::default() };
        proxy.lead_to(target);
        proxy
    }

    /// The proxy's own `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Takes new connections to another server; those there are stay where they are.
    pub fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.shared.target.lock().expect("nobody panics with it"));
    }

    /// Lets connections in.
    pub fn open(&mut self) {
        let State::Closed(socket) = std::mem::replace(&mut self.state, State::Moving) else {
            panic!("the proxy is open already");
        };
        let listener = socket.listen(64).expect("the port is ours");
        let forward = forward(listener, Arc::clone(&self.shared));
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

    /// Breaks every connection there is; how many that was. What was held on the way never arrives.
    pub fn cut(&self) -> usize {
        let mut connections = self.shared.connections.lock().expect("nobody panics with it");
        connections.retain(|connection| !connection.is_finished());
        connections.drain(..).map(|connection| connection.abort()).count()
    }

    /// Keeps what goes this way, on all connections, until it is let go.
    pub fn hold(&self, direction: Direction) {
        self.set(direction, |gate| gate.held = true);
    }

    /// Lets go what was held.
    pub fn release(&self) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            self.set(direction, |gate| gate.held = false);
        }
    }

    /// Pauses before each piece it forwards, in both directions.
    pub fn slow_down(&self, pause: Duration) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            self.set(direction, |gate| gate.pause = pause);
        }
    }

    /// Leaves every connection there is open and silent for ever, as where the other machine is gone; new ones are
    /// let through.
    pub fn strand(&self) {
        self.hold(Direction::ToServer);
        self.hold(Direction::ToClient);
        *self.shared.gates.lock().expect("nobody panics with it") = Gates::default();
    }

    fn set(&self, direction: Direction, change: impl FnOnce(&mut Gate)) {
        let gates = self.shared.gates.lock().expect("nobody panics with it");
        match direction {
            Direction::ToServer => gates.to_server.send_modify(change),
            Direction::ToClient => gates.to_client.send_modify(change),
        }
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

async fn forward(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let target = shared.target.lock().expect("nobody panics with it").clone();
        let (to_server, to_client) = {
            let gates = shared.gates.lock().expect("nobody panics with it");
            (gates.to_server.subscribe(), gates.to_client.subscribe())
        };
        let connection = tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(&target).await {
                let (from_client, into_client) = client.into_split();
                let (from_server, into_server) = server.into_split();
                // However it ends, both sides see the end.
                let up = pump(from_client, into_server, to_server);
                let down = pump(from_server, into_client, to_client);
                drop(tokio::try_join!(up, down));
            }
        });
        shared.connections.lock().expect("nobody panics with it").push(connection.abort_handle());
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut into: OwnedWriteHalf,
    mut gate: watch::Receiver<Gate>,
) -> std::io::Result<()> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        let gate = gate.wait_for(|gate| !gate.held).await.map(|gate| *gate);
        // Stranded: nobody will open it any more.
        let Ok(Gate { pause, .. }) = gate else { return std::future::pending().await };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if length == 0 {
            return into.shutdown().await;
        }
        into.write_all(&piece[..length]).await?;
    }
}
