//! The API against what it says of itself: requests that Schemathesis makes up from its description, right ones and wrong
//! ones, and what it has to say of the answers.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket};

use super::Scene;
use crate::support::records::{manual_workflow, segment};
use crate::support::{Broker, Database, TempDir, on_both, run_to_end, server};

on_both!(the_api_answers_as_its_description_says, async |db: Database| {
    let broker = Broker::new().await;
    let records = [manual_workflow(1, 7), segment(1, 4, &[7, 8])];
    let scene = Scene::on(&broker, db, &records).await;
    let token = scene.token("1").await;
    let address = from_many_addresses(scene.worker.address().unwrap().parse().unwrap()).await;
    let dir = TempDir::new();
    let mut command = Command::new(server("TEST_SCHEMATHESIS"));
    command
        // It leaves notes where it stands.
        .current_dir(dir.path())
        .args(["run", concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/api/openapi.json")])
        .args(["--url", &format!("http://{address}/api/v1")])
        .args(["--header", &format!("Authorization: Bearer {token}"), "--header", "Connection: close"])
        .args(["--checks", "all", "--max-examples", "40", "--seed", "1", "--continue-on-failure"]);
    let output = tokio::task::spawn_blocking(move || run_to_end(&mut command, String::new())).await.unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        !output.stdout.contains("Too Many Requests"),
        "turned away, and nothing was tested: {}",
        output.stdout
    );
});

/// Leads connections to the service, each from an address of its own: Schemathesis shows wrong tokens on purpose, and the
/// service turns away whoever showed a few.
async fn from_many_addresses(service: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for count in 1u32.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let [_, a, b, c] = count.to_be_bytes();
            tokio::spawn(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::from(([127, 1 + a, b, c], 0))).unwrap();
                let mut server = socket.connect(service).await.unwrap();
                // Either side may hang up at any time.
                drop(copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    address
}
