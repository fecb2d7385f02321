//! What is served over HTTP: health and metrics to anybody, the API and the pages to whoever shows a token.
//!
//! Nothing of health and metrics names an account, a contact or an enrollment. Everything else acts as the user that the
//! token stands for, asks the store each time whether it may, and answers from [`crate::operations`], as the commands do.

mod api;
mod auth;
pub mod crm;
pub mod health;
mod limits;
mod pages;
mod room;
mod server;

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::operations::Operations;
use crate::operations::retention::Stop;

pub use health::Health;
pub use server::{BindError, bind};

/// Sent with every answer that does not say otherwise. No CORS header: no page of another origin may read these.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    // Without any, a browser would not say of our own forms either where they come from.
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// The version of the text format that Prometheus asks for by default.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the process tells of itself.
#[derive(Clone)]
pub struct State {
    /// The health of the process.
    pub health: Health,
    /// Renders the metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Serves until `shutdown` completes and what was begun by then has ended, jobs after their batch, and a moment longer for
/// connections that are open then.
pub async fn serve(
    listener: TcpListener,
    state: State,
    operations: Operations,
    crm: crm::Options,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (asker, stop) = Stop::channel();
    let gate = auth::Authenticator::new(operations.store.clone());
    let limits = limits::Limits::new(state.health.clone(), gate.clone(), &crm.prefix);
    let shutdown = {
        let limits = limits.clone();
        async move {
            shutdown.await;
            asker.send_replace(true);
            limits.close().await;
        }
    };
    let api = api::router(operations.clone(), gate.clone());
    let crm = crm::router(operations.clone(), gate.clone(), crm);
    let routes = pages::router(operations, gate).nest("/api/v1", api).merge(crm).layer(Extension(stop));
    let guarded = limits.layer(routes);
    server::serve(listener, with_probes(state, guarded), server::Bounds::default(), shutdown).await;
}

/// Health and metrics beside these routes.
fn with_probes(state: State, routes: Router) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .with_state(state)
        .merge(routes)
        .layer(map_response(with_headers))
}

async fn metrics(Shared(state): Shared<State>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], (state.metrics)())
}

async fn livez(Shared(state): Shared<State>) -> Response {
    probe_response(&state.health.liveness_failures())
}

async fn readyz(Shared(state): Shared<State>) -> Response {
    probe_response(&state.health.readiness_failures().await)
}

async fn startupz(Shared(state): Shared<State>) -> Response {
    probe_response(&state.health.startup_failures())
}

/// 200 where nothing speaks against it, else 503 with one reason a line.
fn probe_response(reasons: &[&str]) -> Response {
    if reasons.is_empty() {
        return "ok\n".into_response();
    }
    let body = reasons.iter().fold(String::new(), |mut body, reason| {
        // Writing to a String does not fail.
        let _ = writeln!(body, "{reason}");
        body
    });
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::server::SHUTDOWN_GRACE;
    use super::*;

    struct Server {
        address: SocketAddr,
        health: Health,
        stop: oneshot::Sender<()>,
        task: JoinHandle<()>,
    }

    async fn start() -> Server {
        start_within(server::Bounds::default()).await
    }

    async fn start_within(bounds: server::Bounds) -> Server {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::new(Box::new(|| Box::pin(async { true })));
        let state = State { health: health.clone(), metrics: Arc::new(|| "a_metric 1\n".to_owned()) };
        let (stop, stopped) = oneshot::channel();
        let router = with_probes(state, Router::new());
        let task = tokio::spawn(server::serve(listener, router, bounds, async move {
            let _ = stopped.await;
        }));
        Server { address, health, stop, task }
    }

    async fn ask(server: &Server, request_line: &str) -> String {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("{request_line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_what_it_says_and_nothing_else() {
        let server = start().await;
        let metrics = ask(&server, "GET /metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{metrics}");
        assert!(metrics.ends_with("\r\n\r\na_metric 1\n"), "{metrics}");
        assert!(metrics.contains("x-content-type-options: nosniff"), "{metrics}");
        assert!(!metrics.contains("access-control"), "{metrics}");
        for request in ["GET /", "GET /metrics/", "GET /readyz/..", "POST /other"] {
            let answer = ask(&server, request).await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{request}: {answer}");
            assert!(answer.contains("content-security-policy: "), "{answer}");
        }
        assert!(ask(&server, "POST /metrics").await.starts_with("HTTP/1.1 405"));
    }

    #[tokio::test]
    async fn health_is_one_reason_a_line() {
        let server = start().await;
        assert!(ask(&server, "GET /livez").await.ends_with("\r\n\r\nok\n"));
        assert!(ask(&server, "GET /startupz").await.starts_with("HTTP/1.1 503"));
        let answer = ask(&server, "GET /readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\nthe start is not finished\nthe feed is not connected\n"),
            "{answer}"
        );
        server.health.set_startup_done();
        server.health.set_feed_connected(true);
        assert!(ask(&server, "GET /startupz").await.starts_with("HTTP/1.1 200"));
        assert!(ask(&server, "GET /readyz").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_the_exit() {
        let server = start().await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        idle.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
        server.stop.send(()).unwrap();
        tokio::time::timeout(SHUTDOWN_GRACE * 3, server.task).await.unwrap().unwrap();
    }

    /// None of them ends by itself.
    #[tokio::test]
    async fn probes_are_answered_beside_any_number_of_half_open_connections() {
        let server =
            start_within(server::Bounds { connections: 8, headers_within: Duration::from_hours(1) }).await;
        let mut open = Vec::new();
        for number in 0..100 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /livez HTTP/1.1\r\n").await;
            }
            open.push(stream);
        }
        let probes = async {
            for _ in 0..20 {
                assert!(ask(&server, "GET /livez").await.starts_with("HTTP/1.1 200"));
                assert!(ask(&server, "GET /metrics").await.ends_with("a_metric 1\n"));
            }
        };
        tokio::time::timeout(Duration::from_mins(2), probes).await.expect("they are answered");
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let server = start().await;
        let error = bind(server.address).await.unwrap_err().to_string();
        let said =
            format!("http.listen is {}, and another process listens there: set http.listen", server.address);
        assert!(error.starts_with(&said), "{error}");
    }
}
