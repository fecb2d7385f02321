//! One connection to the broker, and what its errors say to a person.
//!
//! No sentence made here holds a user name or a password: host, port and virtual host only.

use std::net::Ipv6Addr;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Options;
use crate::domain::network;
use crate::ports::FeedError;

/// The broker's code for a login it does not accept.
const ACCESS_REFUSED: u16 = 403;
/// The broker's code for a virtual host that is missing or closed to the user.
const NOT_ALLOWED: u16 = 530;

/// For a broker that no longer answers: after that a connection is dropped instead of closed.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes in a frame where messages are short and their headers ours: the library keeps room for 64 frames.
const SHORT_FRAMES: u32 = 16 * 1024;

/// How often a connection is looked at that owes an answer, and how long answers that are on their way are waited for once
/// it has ended.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What a connection is for: a broker in alarm blocks connections that publish, and acknowledgements must
/// not hang with them, so the two never share one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Consume,
    Publish,
    /// Takes in dead letters, apart from the enrollments, which do not wait for them.
    Letters,
    /// Apart from retries: a backlog of events must not keep an acknowledgement waiting.
    Events,
    /// Asks how full the queue is.
    Look,
}

impl Role {
    fn connection_name(self) -> &'static str {
        match self {
            Self::Consume => "contact-reaper consume",
            Self::Publish => "contact-reaper publish",
            Self::Letters => "contact-reaper dead letters",
            Self::Events => "contact-reaper events",
            Self::Look => "contact-reaper look",
        }
    }
}

/// Connects and logs in: to one node after the other, each once, until one takes it. Many that come at once begin at
/// different nodes.
///
/// # Errors
/// Permanent if the URL cannot be read; transient for all else, a refused login included: whoever corrects
/// the password in the broker need not restart the service. It is that of the last node.
pub(super) async fn connect(options: &Options, role: Role) -> Result<Connection, FeedError> {
    let mut nodes = parse_url(&options.url)?;
    let first = fastrand::usize(..nodes.len());
    nodes.rotate_left(first);
    let mut connected = Err(unreadable());
    for node in nodes {
        connected = connect_to(node, options, role).await;
        match &connected {
            Err(FeedError::Transient(problem)) => debug!(error = problem, "node not reached"),
            _ => break,
        }
    }
    connected
}

async fn connect_to(mut uri: AMQPUri, options: &Options, role: Role) -> Result<Connection, FeedError> {
    let seconds = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
    // Zero would ask the broker for its own choice, a minute.
    uri.query.heartbeat = Some(seconds.max(1));
    if matches!(role, Role::Events | Role::Look) {
        uri.query.frame_max = Some(SHORT_FRAMES);
    }
    let place = Endpoint::of(&uri);
    let tls = options.tls.read().await?;
    let runtime = lapin::runtime::default_runtime().map_err(|error| place.failure(&error))?;
    let properties =
        ConnectionProperties::default().with_connection_name(role.connection_name().to_owned().into());
    match timeout(options.connect_timeout, Connection::connect_uri_with_config(uri, properties, tls, runtime))
        .await
    {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(place.failure(&error)),
        Err(_) => Err(FeedError::Transient(format!(
            "RabbitMQ at {} did not answer within {:?}: check that it runs and that nothing between blocks it.",
            place.host, options.connect_timeout
        ))),
    }
}

/// Says goodbye; a broker that does not answer is left without.
pub(super) async fn close(connection: &Connection) {
    match timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(error.message = %reason(&error), "the connection was gone already"),
        Err(_) => warn!("the broker did not answer the goodbye of a connection"),
    }
}

/// Asks something of a broker. What is asked while a connection ends the library may leave without an answer for ever,
/// without an error too.
///
/// # Errors
/// Those of `asked`; transient where the connection ended and it was not answered.
pub(super) async fn or_connection_lost<T>(
    connection: &Connection,
    doing: &str,
    asked: impl Future<Output = Result<T, FeedError>>,
) -> Result<T, FeedError> {
    tokio::select! {
        biased;
        answer = asked => answer,
        () = lost(connection) => Err(FeedError::Transient(format!(
            "RabbitMQ: {doing} failed (the connection ended without an answer); it is tried again."
        ))),
    }
}

/// Returns when a connection has ended and all that it still had to say is said.
pub(super) async fn lost(connection: &Connection) {
    until_over(|| connection.status().connected()).await;
}

async fn until_over(is_connected: impl Fn() -> bool) {
    loop {
        let was_connected = is_connected();
        sleep(POLL_INTERVAL).await;
        if !was_connected {
            return;
        }
    }
}

/// What went wrong on a connection that had been made, without the library's wrapping.
pub(super) fn reason(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => refusal.get_message().to_string(),
        ErrorKind::IOError(cause) => explained(cause),
        _ => error.to_string(),
    }
}

fn explained(cause: &std::io::Error) -> String {
    network::explain(cause).unwrap_or_else(|| cause.to_string())
}

/// A failure that a new session may not meet again.
pub(super) fn transient(doing: &str, error: &lapin::Error) -> FeedError {
    FeedError::Transient(format!("RabbitMQ: {doing} failed ({}); it is tried again.", reason(error)))
}

/// What of a URL may be said aloud.
struct Endpoint {
    host: String,
    vhost: String,
    with_tls: bool,
}

impl Endpoint {
    fn of(uri: &AMQPUri) -> Self {
        Self {
            host: format!("{}:{}", uri.authority.host, uri.authority.port),
            vhost: uri.vhost.clone(),
            with_tls: uri.scheme == AMQPScheme::AMQPS,
        }
    }

    fn failure(&self, error: &lapin::Error) -> FeedError {
        FeedError::Transient(self.sentence(error))
    }

    fn sentence(&self, error: &lapin::Error) -> String {
        let Self { host, vhost, with_tls } = self;
        match error.kind() {
            ErrorKind::ProtocolError(refusal) if refusal.get_id() == ACCESS_REFUSED => format!(
                "RabbitMQ at {host} refused the user name or the password: correct them in the broker's URL, \
                 or in the broker."
            ),
            ErrorKind::ProtocolError(refusal) if refusal.get_id() == NOT_ALLOWED => format!(
                "RabbitMQ at {host} does not let this user into the virtual host '{vhost}': create it or grant \
                 access to it (in the URL the virtual host '/' is written %2f)."
            ),
            ErrorKind::IOError(cause) if *with_tls && may_be_tls_failure(cause.kind()) => format!(
                "RabbitMQ at {host} and this service do not agree on TLS ({}): check that the URL names the host \
                 as its certificate does, and feed.rabbitmq.ca_file, client_certificate_file and client_key_file.",
                explained(cause)
            ),
            _ => format!(
                "RabbitMQ at {host}, virtual host '{vhost}', cannot be reached ({}): check that it runs and \
                 that the URL names the right host and port.",
                reason(error)
            ),
        }
    }
}

/// Of certificates too the library speaks as of bad data. A broker that refuses ours says so and hangs up when we have
/// begun to speak already, and the end of the connection may be all that arrives of it.
fn may_be_tls_failure(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    matches!(kind, InvalidData | ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

fn unreadable() -> FeedError {
    FeedError::Permanent(
        "The RabbitMQ URL cannot be read: it is written amqp://user:password@host:port/vhost, or with the nodes of a \
         cluster host:port,host:port, with the virtual host '/' as %2f and special characters of the password \
         percent-encoded."
            .to_owned(),
    )
}

/// One address a node. A stray `/`, `?` or `#` in a password would be taken for the end of the host.
fn parse_url(url: &str) -> Result<Vec<AMQPUri>, FeedError> {
    let (scheme, after_scheme) = url.split_once("://").ok_or_else(unreadable)?;
    let (authority, path) =
        after_scheme.split_at(after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len()));
    if path.contains('@') {
        return Err(unreadable());
    }
    let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    if hosts.contains(',') && hosts.split(',').any(str::is_empty) {
        return Err(unreadable());
    }
    hosts.split(',').map(|host| parse_node(&format!("{scheme}://{login}{host}{path}"), host)).collect()
}

/// By the library's parser, which takes an IPv6 address for no host at all.
fn parse_node(url: &str, host: &str) -> Result<AMQPUri, FeedError> {
    let mut uri: AMQPUri = url.parse().map_err(|_| unreadable())?;
    if let Some((_, address)) = host.split_once('[') {
        let address = address.split(']').next().unwrap_or_default();
        let address: Ipv6Addr = address.parse().map_err(|_| unreadable())?;
        uri.authority.host = address.to_string();
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_lost_only_when_it_has_ended() {
        let (ends, asked) = (std::cell::Cell::new(3), tokio::time::Instant::now());
        until_over(|| ends.replace(ends.get() - 1) > 0).await;
        assert_eq!(asked.elapsed(), 4 * POLL_INTERVAL);
        assert!(timeout(1000 * POLL_INTERVAL, until_over(|| true)).await.is_err());
    }

    fn hosts(url: &str) -> Vec<String> {
        parse_url(url).unwrap().iter().map(|node| Endpoint::of(node).host).collect()
    }

    #[test]
    fn urls_are_read() {
        assert_eq!(hosts("amqp://u:p@rabbit.example:5673/%2f"), ["rabbit.example:5673"]);
        assert_eq!(hosts("amqp://10.0.0.1"), ["10.0.0.1:5672"]);
        assert_eq!(hosts("amqps://10.0.0.1"), ["10.0.0.1:5671"]);
        assert_eq!(hosts("amqp://u:p@[::1]:5673/crm"), ["::1:5673"]);
        assert_eq!(parse_url("amqp://u:p%40@h/crm").unwrap()[0].authority.userinfo.password, "p@");
        assert_eq!(parse_url("amqp://h").unwrap()[0].vhost, "/");
    }

    #[test]
    fn the_nodes_of_a_cluster_share_all_but_the_address() {
        let url = "amqps://u:a,b@rabbit-1,rabbit-2:5679,[::1]/crm?heartbeat=5";
        assert_eq!(hosts(url), ["rabbit-1:5671", "rabbit-2:5679", "::1:5671"]);
        for node in parse_url(url).unwrap() {
            let login = &node.authority.userinfo;
            assert_eq!(
                (login.username.as_str(), login.password.as_str(), node.vhost.as_str()),
                ("u", "a,b", "crm")
            );
        }
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        for url in ["", "localhost", "user:hunter2@host", "http://u:hunter2@h", "amqp://u:hunter2#x@h"] {
            let sentence = parse_url(url).unwrap_err().to_string();
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
        assert!(parse_url("amqp://u:12/34@h").is_err());
        assert!(parse_url("amqp://u:p@h,/crm").is_err());
        assert!(!format!("{:?}", super::super::test_options()).contains("secret"));
    }
}
