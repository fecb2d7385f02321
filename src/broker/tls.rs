//! What TLS to the broker takes beside the URL: files, read at every attempt, so that a renewed certificate needs no
//! restart.

use std::path::{Path, PathBuf};

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};

use crate::ports::FeedError;

/// Whom to trust and how to identify, where the URL is `amqps://`.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities trusted beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its key, in PEM.
    pub identity: Option<Identity>,
}

/// By what a client makes itself known.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

impl Tls {
    /// # Errors
    /// Transient where a file cannot be read: it may be on its way.
    pub(super) async fn read(&self) -> Result<OwnedTLSConfig, FeedError> {
        let cert_chain = match &self.ca_file {
            Some(path) => Some(String::from_utf8_lossy(&read(path).await?).into_owned()),
            None => None,
        };
        let identity = match &self.identity {
            Some(Identity { certificate_file, key_file }) => {
                Some(OwnedIdentity::PKCS8 { pem: read(certificate_file).await?, key: read(key_file).await? })
            }
            None => None,
        };
        Ok(OwnedTLSConfig { identity, cert_chain })
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, FeedError> {
    tokio::fs::read(path).await.map_err(|error| {
        let path = path.display();
        FeedError::Transient(format!(
            "For TLS to RabbitMQ the file {path} cannot be read ({error}): put it there."
        ))
    })
}
