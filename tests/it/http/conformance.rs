//! The API against what it says of itself: requests that Schemathesis makes up from its description, right ones and wrong
//! ones, and what it has to say of the answers.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
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
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/api/openapi.json");
    judge(&dir, document, &format!("http://{address}/api/v1"), &token, ["all", "40"]).await;
});

// Its readers are lenient, as the vendor's are, so nothing is said of what they take.
on_both!(the_vendors_api_answers_as_its_description_says, async |db: Database| {
    let deal = json!({"kind": "deal", "accountId": "1", "id": "30", "properties": {"dealname": "One"}});
    let settings = [
        ("http.crm.requests_per_10s", "0".to_owned()),
        ("feed.rabbitmq.url", "amqp://127.0.0.1:1/".to_owned()),
    ];
    let scene = Scene::with(db, &[deal], &settings).await;
    let scopes = crate::http::crm::ALL;
    let token = crate::http::crm::token(&scene, "1", &scopes).await;
    let mut document: Value =
        serde_json::from_str(include_str!("../../../src/http/crm/openapi.json")).unwrap();
    // Of types that are there; and without what is answered 501 always.
    for name in ["objectType", "toObjectType"] {
        document["components"]["parameters"][name]["schema"] = json!({"enum": ["contacts", "deals", "0-2"]});
    }
    document["paths"].as_object_mut().unwrap().remove("/crm/v3/objects/{objectType}/merge");
    let dir = TempDir::new();
    let file = dir.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let url = format!("http://{}", scene.worker.address().unwrap());
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    judge(&dir, file.to_str().unwrap(), &url, &token, [checks, "20"]).await;
});

/// Has Schemathesis make up requests to a service and judge the answers.
async fn judge(dir: &TempDir, document: &str, url: &str, token: &str, [checks, examples]: [&str; 2]) {
    // Links that it makes up send `None` for an id that an answer lacks, and expect that to be taken.
    let config = "[phases.stateful.inference]\nalgorithms = [\"location-headers\"]\n";
    std::fs::write(dir.path().join("schemathesis.toml"), config).unwrap();
    let mut command = Command::new(server("TEST_SCHEMATHESIS"));
    command
        // It leaves notes where it stands.
        .current_dir(dir.path())
        .args(["run", document, "--url", url])
        .args(["--header", &format!("Authorization: Bearer {token}"), "--header", "Connection: close"])
        .args(["--checks", checks, "--max-examples", examples, "--seed", "1", "--continue-on-failure"]);
    let output = tokio::task::spawn_blocking(move || run_to_end(&mut command, String::new())).await.unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        !output.stdout.contains("Too Many Requests"),
        "turned away, and nothing was tested: {}",
        output.stdout
    );
}

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
