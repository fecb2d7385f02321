//! Connection URLs, read strictly and before any library sees them: a character out of place may have made a host or a
//! parameter of a piece of the password, and libraries repeat what they do not understand.

use std::net::Ipv6Addr;

/// What is wrong with a URL, and what to write instead. Of the URL it has nothing but the name of a parameter, and that
/// only where it is a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Starts with a verb.
    pub problem: String,
    /// One clause.
    pub remedy: String,
}

/// A URL of a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    /// All that it says, as parameters of a URL without anything else: `host=…&dbname=…`.
    pub parameters: String,
}

/// What a parameter takes.
#[derive(Clone, Copy)]
enum Takes {
    Text,
    Number,
    OneOf(&'static [&'static str]),
}
use Takes::{Number, OneOf, Text};

type Parameters = &'static [(&'static str, Takes)];

const SSL_MODES: Takes = OneOf(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]);

/// Those of PostgreSQL's own that the library has, under its other names too.
const POSTGRES: Parameters = &[
    ("application_name", Text),
    ("dbname", Text),
    ("host", Text),
    ("hostaddr", Text),
    ("options", Text),
    ("password", Text),
    ("port", Number),
    ("ssl-ca", Text),
    ("ssl-cert", Text),
    ("ssl-key", Text),
    ("ssl-mode", SSL_MODES),
    ("ssl-root-cert", Text),
    ("sslcert", Text),
    ("sslkey", Text),
    ("sslmode", SSL_MODES),
    ("sslrootcert", Text),
    ("statement-cache-capacity", Number),
    ("user", Text),
];

const SQLITE: Parameters = &[
    ("cache", OneOf(&["private", "shared"])),
    ("immutable", OneOf(&["true", "false", "1", "0"])),
    ("mode", OneOf(&["ro", "rw", "rwc", "memory"])),
];

const AMQP: Parameters = &[
    ("auth_mechanism", OneOf(&["plain", "amqplain", "external", "rabbit-cr-demo"])),
    ("channel_max", Number),
    ("connection_timeout", Number),
    ("frame_max", Number),
    ("heartbeat", Number),
];

const SMTP: Parameters = &[("tls", OneOf(&["required", "opportunistic"]))];

/// Looks a URL over whose scheme is known to be right.
pub fn check(url: &str) -> Result<(), Complaint> {
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    match scheme {
        "sqlite" => check_parameters(rest.split_once('?').map(|(_, parameters)| parameters), SQLITE),
        "amqp" | "amqps" => {
            let parts = Parts::of(rest)?;
            check_parameters(parts.parameters, AMQP)?;
            // The nodes of a cluster.
            parts.hosts.split(',').try_for_each(|node| host_and_port(node).map(drop))
        }
        "smtp" | "smtps" => {
            let parts = Parts::of(rest)?;
            check_parameters(parts.parameters, SMTP)?;
            host_and_port(parts.hosts).map(drop)
        }
        _ => postgres(url).map(drop),
    }
}

/// Reads the URL of a PostgreSQL server.
pub fn postgres(url: &str) -> Result<PostgresUrl, Complaint> {
    let parts = Parts::of(url.split_once("://").map_or("", |(_, rest)| rest))?;
    check_parameters(parts.parameters, POSTGRES)?;
    let (host, port) = host_and_port(parts.hosts)?;
    let login = parts.login.map(|login| login.split_once(':').unwrap_or((login, "")));
    let (user, password) = login.unwrap_or_default();
    let given =
        [("host", host), ("port", port), ("user", user), ("password", password), ("dbname", parts.path)];
    let mut parameters: Vec<String> = given
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        // In a parameter these would mean something else.
        .map(|(name, text)| format!("{name}={}", text.replace('+', "%2B").replace('&', "%26")))
        .collect();
    parameters.extend(parts.parameters.filter(|rest| !rest.is_empty()).map(str::to_owned));
    Ok(PostgresUrl { parameters: parameters.join("&") })
}

/// `LOGIN@HOSTS/PATH?PARAMETERS`
struct Parts<'a> {
    login: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    parameters: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, Complaint> {
        let (place, parameters) = match rest.split_once('?') {
            Some((place, parameters)) => (place, Some(parameters)),
            None => (rest, None),
        };
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let misplaced = path.contains('@') || parameters.is_some_and(|text| text.contains('@'));
        if misplaced || rest.contains('#') {
            return Err(Complaint {
                problem: "has a special character where none can be".to_owned(),
                remedy: "in a user name, a password or a parameter write %2F for /, %3F for ?, %23 for # and %40 for @"
                    .to_owned(),
            });
        }
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        Ok(Self { login, hosts, path, parameters })
    }
}

/// The host, an IPv6 address without its brackets, and the port.
fn host_and_port(text: &str) -> Result<(&str, &str), Complaint> {
    let complaint = |problem: &str, remedy: &str| {
        Err(Complaint { problem: problem.to_owned(), remedy: remedy.to_owned() })
    };
    let (host, rest) = match text.strip_prefix('[').map(|text| text.split_once(']')) {
        Some(Some((host, rest))) if host.parse::<Ipv6Addr>().is_ok() => (host, rest),
        Some(_) => {
            return complaint(
                "has something else than an IPv6 address in brackets",
                "write [::1], or [::1]:PORT",
            );
        }
        None if text.contains(',') => {
            return complaint(
                "names more than one host",
                "name one that leads to whichever is the primary: an address that moves, a proxy, a pooler",
            );
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    if port.contains(':') {
        return complaint("has an IPv6 address without brackets", "write [::1], or [::1]:PORT");
    }
    if !port.is_empty() && (rest == port || port.parse::<u16>().is_err()) {
        return complaint(
            "has something else than a port after its host",
            "write HOST:PORT, and in a password %2F for / and %3F for ?",
        );
    }
    Ok((host, port))
}

fn check_parameters(text: Option<&str>, known: Parameters) -> Result<(), Complaint> {
    let mut seen: Vec<String> = Vec::new();
    let text = text.unwrap_or_default();
    for (pair, (name, value)) in
        text.split('&').filter(|pair| !pair.is_empty()).zip(form_urlencoded::parse(text.as_bytes()))
    {
        let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        if !pair.contains('=') {
            return Err(Complaint {
                problem: "has a parameter without a value".to_owned(),
                remedy: "write NAME=VALUE, and %3F for a question mark in a password".to_owned(),
            });
        }
        let Some(takes) = takes(&name, known) else {
            let word = |text: &str| {
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
            };
            let which = if word(&name) { format!("the parameter {name}") } else { "a parameter".to_owned() };
            return Err(Complaint {
                problem: format!("has {which} that is not understood"),
                remedy: format!("it takes {}, and %3F for a question mark in a password", names()),
            });
        };
        let remedy = match takes {
            Text => None,
            Number if value.parse::<u32>().is_ok() => None,
            Number => Some("a number".to_owned()),
            OneOf(words) if words.contains(&value.to_ascii_lowercase().as_str()) => None,
            OneOf(words) => Some(words.join(", ")),
        };
        if let Some(accepted) = remedy {
            return Err(Complaint {
                problem: format!("has a parameter {name} with a value that is not understood"),
                remedy: format!("it takes {accepted}"),
            });
        }
        if seen.iter().any(|earlier| *earlier == name) {
            return Err(Complaint {
                problem: format!("has the parameter {name} twice"),
                remedy: "keep one of the two".to_owned(),
            });
        }
        seen.push(name.into_owned());
    }
    Ok(())
}

fn takes(name: &str, known: Parameters) -> Option<Takes> {
    // A setting of the session, the library's way: `options[lock_timeout]=5s`.
    let name = match name.strip_prefix("options[").and_then(|rest| rest.strip_suffix(']')) {
        Some(_) => "options",
        None => name,
    };
    known.iter().find(|(known, _)| *known == name).map(|(_, takes)| *takes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(url: &str) -> String {
        postgres(url).map_or_else(|complaint| panic!("{url}: {complaint:?}"), |url| url.parameters)
    }

    #[test]
    fn every_form_of_a_postgres_url_is_read() {
        for (url, expected) in [
            ("postgres://u:p@db.example:5433/crm", "host=db.example&port=5433&user=u&password=p&dbname=crm"),
            ("postgres://u:p+q&r%2F@db/crm", "host=db&user=u&password=p%2Bq%26r%2F&dbname=crm"),
            ("postgres://u:p@ss@db/crm", "host=db&user=u&password=p@ss&dbname=crm"),
            ("postgresql://[::1]/crm", "host=::1&dbname=crm"),
            ("postgres://u@[2001:db8::7]:6432/crm", "host=2001:db8::7&port=6432&user=u&dbname=crm"),
            ("postgres://u@%2Frun%2Fpostgresql/crm", "host=%2Frun%2Fpostgresql&user=u&dbname=crm"),
            ("postgres:///crm?host=/run/postgresql", "dbname=crm&host=/run/postgresql"),
            ("postgres://u@/crm?host=/run/pg&port=5433", "user=u&dbname=crm&host=/run/pg&port=5433"),
            ("postgres://?host=/run/pg&dbname=crm", "host=/run/pg&dbname=crm"),
            (
                "postgres://db/crm?sslmode=Verify-Full&options[lock_timeout]=5s",
                "host=db&dbname=crm&sslmode=Verify-Full&options[lock_timeout]=5s",
            ),
            ("postgres://db:/", "host=db"),
        ] {
            assert_eq!(parameters(url), expected, "{url}");
        }
    }

    /// Each has a secret in it; what is said of it has not.
    #[test]
    fn what_is_not_understood_is_said_without_its_text() {
        for (url, said) in [
            ("postgres://127.0.0.1:1/db?user=u&pasword=hunter2", "the parameter pasword that"),
            ("postgres://u:/7M+x?E':hunter2@127.0.0.1:1/db", "a special character"),
            ("postgres://u:hun/ter2@db/crm", "a special character"),
            ("postgres://u:5432?hunter2=x@db/crm", "a special character"),
            ("postgres://u:12#hunter2@db/crm", "a special character"),
            ("postgres://u:hunter2", "something else than a port"),
            ("postgres://u:hunter2/db", "something else than a port"),
            ("postgres://u:1:hunter2/db", "IPv6 address without brackets"),
            ("postgres://[hunter2]/db", "in brackets"),
            ("postgres://[::1]hunter2/db", "something else than a port"),
            ("postgres://u@a,hunter2/db", "more than one host"),
            ("postgres://db/crm?hunter2", "without a value"),
            ("postgres://db/crm?hunter2!=1", "a parameter that is not understood"),
            ("postgres://db/crm?sslmod=hunter2", "the parameter sslmod that"),
            ("postgres://db/crm?ssl=hunter2", "the parameter ssl that"),
            ("postgres://db/crm?SSLMODE=hunter2", "the parameter SSLMODE that"),
            ("postgres://db/crm?sslmode=hunter2", "parameter sslmode with a value"),
            ("postgres://db/crm?sslmode=require;password=hunter2", "parameter sslmode with a value"),
            ("postgres://db/crm?port=hunter2", "parameter port with a value"),
            ("postgres://db/crm?password=hunter2&password=hunter2", "the parameter password twice"),
            ("sqlite://crm.db?mode=hunter2", "parameter mode with a value"),
            ("sqlite://crm.db?vfs=hunter2", "the parameter vfs that"),
            ("amqp://u:hun?ter2@mq/%2f", "a special character"),
            ("amqp://mq/%2f?heartbeat=hunter2", "parameter heartbeat with a value"),
            ("amqp://mq/%2f?pasword=hunter2", "the parameter pasword that"),
            ("smtp://mx?tls=hunter2", "parameter tls with a value"),
        ] {
            let complaint = check(url).expect_err(url);
            assert!(complaint.problem.contains(said), "{url}: {complaint:?}");
            let all = format!("{complaint:?}");
            assert!(!all.contains("hunter2") && !all.contains("ter2") && !all.contains("7M"), "{all}");
        }
    }

    #[test]
    fn what_is_understood_passes() {
        for url in [
            "sqlite://crm.db",
            "sqlite:///srv/a#b@c/crm.db?mode=rwc",
            "amqp://u:p@mq-1:5672,mq-2,[::1]/%2f?heartbeat=5",
            "amqps://u:p%40@mq",
            "smtp://u:p@mx:25?tls=required",
            "smtps://mx",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }
}
