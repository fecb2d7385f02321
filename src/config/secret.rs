//! A text that may carry a password, and never shows it.

use std::fmt;

/// What stands where something is hidden.
const HIDDEN: &str = "***";

/// Parameters of a connection URL that carry nothing secret. Everything else after `?` is hidden: drivers accept
/// passwords there too, and more names for them than a list of the secret ones would hold.
const HARMLESS: [&str; 11] = [
    "application_name",
    "cache",
    "connection_timeout",
    "dbname",
    "heartbeat",
    "host",
    "mode",
    "port",
    "sslmode",
    "tls",
    "user",
];

/// A connection URL with a password in it, perhaps. `Debug` and `Display` hide the password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole text, for the one place that connects with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", mask(&self.0))
    }
}

/// Could a text be a URL with a password, or the end of one?
pub(super) fn may_hold_a_secret(text: &str) -> bool {
    text.contains("://") || text.contains('@')
}

/// A text that is named in an error, unless it may hold a secret: people put a URL where the name of a file belongs.
pub(super) fn named(text: &str) -> &str {
    if may_hold_a_secret(text) { HIDDEN } else { text }
}

/// Hides the password of a URL. What is not a URL is hidden whole: it may be nothing but the password. So is one with
/// an `@` behind its host, for then who knows where the password ends.
fn mask(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| word(scheme)) else {
        return HIDDEN.to_owned();
    };
    let (place, parameters) = match rest.split_once('?') {
        None => (rest, String::new()),
        Some((place, parameters)) => {
            let shown: Vec<String> = parameters.split('&').map(mask_parameter).collect();
            (place, format!("?{}", shown.join("&")))
        }
    };
    if scheme == "sqlite" {
        return format!("{scheme}://{place}{parameters}");
    }
    let (authority, path) = place.split_at(place.find(['/', '#']).unwrap_or(place.len()));
    if rest[authority.len()..].contains('@') {
        return format!("{scheme}://{HIDDEN}");
    }
    let after_login = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    if !after_login.split(',').all(has_a_port_or_none) {
        return format!("{scheme}://{HIDDEN}");
    }
    let (user, hosts) = match authority.rsplit_once('@') {
        None => (String::new(), authority),
        Some((login, hosts)) => match login.split_once(':') {
            None => (format!("{}@", mask_name(login)), hosts),
            Some((name, _)) => (format!("{}:{HIDDEN}@", mask_name(name)), hosts),
        },
    };
    format!("{scheme}://{user}{hosts}{path}{parameters}")
}

/// What stands where the port does may be a password, of a URL without its host.
fn has_a_port_or_none(host: &str) -> bool {
    let behind_brackets = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    behind_brackets.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An escape in a name may stand for the colon before a password.
fn mask_name(name: &str) -> &str {
    if is_plain(name) { name } else { HIDDEN }
}

fn mask_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, value)) if HARMLESS.contains(&name) && is_plain(value) => parameter.to_owned(),
        Some((name, _)) if is_plain(name) || name.contains('%') && is_plain(&name.replace('%', "")) => {
            format!("{name}={HIDDEN}")
        }
        _ => HIDDEN.to_owned(),
    }
}

/// One value, and no more of them behind a separator or an escape.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:,".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_never_show() {
        for (url, shown) in [
            ("", ""),
            ("hunter2", "***"),
            ("user:hunter2@db/x?a=http://y", "***"),
            ("postgres://user:hunter2@host/db", "postgres://user:***@host/db"),
            ("postgres://user:hunt@er2@host:5432/db", "postgres://user:***@host:5432/db"),
            ("postgres://user:hunt@er/2?@host:5432/db", "postgres://***"),
            ("postgres://user:hunter2#@host/db", "postgres://***"),
            ("postgres://user%3Ahunter2@host/db", "postgres://***@host/db"),
            ("postgres://host/db?user=a@b&password=hunter2", "postgres://***"),
            ("postgres://host/db?sslmode=require;password=hunter2", "postgres://host/db?sslmode=***"),
            ("postgres://host/db?host=a%26password=hunter2", "postgres://host/db?host=***"),
            ("postgres://host/db?hunter2!=x", "postgres://host/db?***"),
            ("amqp://user:hunter2", "amqp://***"),
            ("amqp://user:hunter2@mq:hunter2/%2f", "amqp://***"),
            ("amqp://a:5672,[::1]:5672,c/%2f", "amqp://a:5672,[::1]:5672,c/%2f"),
            ("sqlite:///srv/a@b/crm.db", "sqlite:///srv/a@b/crm.db"),
            ("postgres://user@host/db", "postgres://user@host/db"),
            ("postgres://host/db?user=a&password=hunter2", "postgres://host/db?user=a&password=***"),
            ("postgres://host/db?p%61ssword=hunter2", "postgres://host/db?p%61ssword=***"),
            ("postgres://host/db?hunter2", "postgres://host/db?***"),
            ("amqps://guest:hunter2@127.0.0.1:5671/%2f", "amqps://guest:***@127.0.0.1:5671/%2f"),
            ("sqlite://contact-reaper.db?mode=rwc", "sqlite://contact-reaper.db?mode=rwc"),
        ] {
            let secret = Secret::new(url);
            assert_eq!(secret.to_string(), shown);
            assert_eq!(format!("{secret:?}"), format!("Secret({shown})"));
            assert_eq!(secret.expose(), url);
        }
    }
}
