//! What systemd is told of this process: ready, stopping, and alive. Nothing where it did not ask (`NOTIFY_SOCKET`).
//!
//! *Alive* is told only while the process makes progress, as `/livez` means it: one that hangs is restarted.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tracing::warn;

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The schema is up to date, and everything is built and at work.
    Ready,
    /// It finishes what it has in hand.
    Stopping,
    /// It makes progress.
    Alive,
}

impl State {
    fn message(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Stopping => b"STOPPING=1",
            Self::Alive => b"WATCHDOG=1",
        }
    }
}

/// The service manager, where there is one that listens.
#[derive(Debug, Default)]
pub struct Systemd {
    listener: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that this process is alive.
    period: Option<Duration>,
}

impl Systemd {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let listener = listener(&name)
            .inspect_err(
                |error| warn!(%error, "systemd cannot be told anything: NOTIFY_SOCKET names no socket"),
            )
            .ok();
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
        let period = number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0).map(Duration::from_micros);
        Self { listener, period }
    }

    /// Says so, once. Nobody who does not hear it holds up the work.
    pub fn notify(&self, state: State) {
        if let Some((socket, address)) = &self.listener
            && let Err(error) = socket.send_to_addr(state.message(), address)
        {
            warn!(%error, ?state, "systemd was not told");
        }
    }

    /// Says so twice in each period, as long as it is true; spawn it beside the work.
    pub async fn run_watchdog(&self, is_alive: impl Fn() -> bool) {
        let Some(period) = self.period else { return };
        loop {
            if is_alive() {
                self.notify(State::Alive);
            }
            tokio::time::sleep(period / 2).await;
        }
    }
}

/// What to speak over, and to whom.
fn listener(name: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop a thread that everything runs on.
    socket.set_nonblocking(true)?;
    Ok((socket, address(name)?))
}

/// A path, or with an `@` a name that is in no file system.
fn address(name: &OsStr) -> std::io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Told to itself: the socket, and what it is told within ten periods.
    async fn received(is_alive: bool) -> usize {
        let name = format!("@contact-reaper-{}-{is_alive}", std::process::id());
        let manager = UnixDatagram::bind_addr(&address(OsStr::new(&name)).unwrap()).unwrap();
        manager.set_nonblocking(true).unwrap();
        let listener = listener(OsStr::new(&name)).unwrap();
        let systemd = Systemd { listener: Some(listener), period: Some(Duration::from_millis(100)) };
        let telling = tokio::time::timeout(Duration::from_secs(1), systemd.run_watchdog(|| is_alive));
        assert!(telling.await.is_err(), "it goes on");
        let mut bytes = [0; 64];
        std::iter::from_fn(|| manager.recv(&mut bytes).ok()).count()
    }

    #[tokio::test]
    async fn watchdog_pings_only_while_alive() {
        assert!(received(true).await > 2);
        assert_eq!(received(false).await, 0);
    }
}
