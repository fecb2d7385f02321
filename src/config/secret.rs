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

/// Hides the password of a URL. What is not a URL is hidden whole: it may be nothing but the password.
fn mask(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| word(scheme)) else {
        return HIDDEN.to_owned();
    };
    // The last `@` of all, not of the host part: a password with an unescaped `/`, `?` or `@` in it is a
    // mistake people make, and hiding too much is better than showing its end.
    let (user, rest) = match rest.rsplit_once('@') {
        None => (String::new(), rest),
        Some((user, rest)) => match user.split_once(':') {
            None => (format!("{user}@"), rest),
            Some((name, _)) => (format!("{name}:{HIDDEN}@"), rest),
        },
    };
    let (place, parameters) = match rest.split_once('?') {
        None => (rest, String::new()),
        Some((place, parameters)) => {
            let shown: Vec<String> = parameters.split('&').map(mask_parameter).collect();
            (place, format!("?{}", shown.join("&")))
        }
    };
    format!("{scheme}://{user}{place}{parameters}")
}

fn mask_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if !HARMLESS.contains(&name) => format!("{name}={HIDDEN}"),
        Some(_) => parameter.to_owned(),
        None => HIDDEN.to_owned(),
    }
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
            ("postgres://user:hunt@er/2?@host:5432/db", "postgres://user:***@host:5432/db"),
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
