//! A mail server, by SMTP; the only file that names lettre.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::letter::Email;
use crate::domain::address::is_plain_address;

/// How long the server may take to answer a command.
const SMTP_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a letter did not go out. A server's own words are not repeated: they quote the recipient.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The server is away or does not let us in: no letter goes out.
    #[error("the mail server cannot be used: {0}")]
    Away(String),
    /// This letter did not go out this time.
    #[error("the mail server did not take it: {0}")]
    NotNow(String),
    /// This letter is refused, and will be as long as nobody changes anything.
    #[error("it was refused: {0}")]
    Refused(String),
}

/// Sends letters, each on a connection of its own: confirmations are few.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Address,
}

impl Smtp {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// The setting at fault and what is wrong with it, in one sentence without the setting's value.
    pub fn new(url: &str, from: &str) -> Result<Self, String> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|error| format!("mail.smtp_url cannot be used ({}); correct it", said(&error)))?;
        let from = address(from).ok_or("mail.from cannot be used (it is no e-mail address); correct it")?;
        Ok(Self { transport: transport.timeout(Some(SMTP_TIMEOUT)).build(), from })
    }

    /// Sends a letter; `Ok` where the server has taken it over.
    pub async fn send(&self, letter: Email, to: &str) -> Result<(), SendError> {
        let message = self.message(letter, to).map_err(SendError::Refused)?;
        let Err(error) = self.transport.send(message).await else { return Ok(()) };
        // A server that lets nobody in refuses everything: that is not this letter's fault.
        match self.transport.test_connection().await {
            Ok(true) => {}
            Ok(false) => return Err(SendError::Away("it hung up".to_owned())),
            Err(error) => return Err(SendError::Away(said(&error))),
        }
        let said = said(&error);
        Err(if error.is_permanent() || error.is_client() {
            SendError::Refused(said)
        } else {
            SendError::NotNow(said)
        })
    }

    fn message(&self, letter: Email, to: &str) -> Result<Message, String> {
        let to = address(to).ok_or("the user's address is none")?;
        Message::builder()
            .from(Mailbox::new(Some("contact-reaper".to_owned()), self.from.clone()))
            .to(Mailbox::new(None, to))
            .subject(letter.subject)
            .date(letter.date.into())
            .message_id(Some(format!("<{}@{}>", letter.id, self.from.domain())))
            // Nobody's holiday greeting answers it.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body)
            .map_err(|error| error.to_string())
    }
}

/// An address as every server takes it: a domain of other letters than ASCII's in its ASCII form (`xn--…`). `None` for anything
/// that a header or a server could read as more than one address.
fn address(text: &str) -> Option<Address> {
    let (user, domain) = text.trim().split_once('@').filter(|_| is_plain_address(text))?;
    Address::new(user, idna::domain_to_ascii(domain).ok()?).ok()
}

/// What went wrong: the server's code, never its words.
fn said(error: &Error) -> String {
    match error.status() {
        Some(code) => format!("it answered {code}"),
        None if error.is_response() => "its answer made no sense".to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_of_an_address_is_sent_in_ascii() {
        let sent = |text| address(text).map(|address| address.to_string());
        assert_eq!(sent(" ada@x.example ").unwrap(), "ada@x.example");
        assert_eq!(sent("ada@bücher.example").unwrap(), "ada@xn--bcher-kva.example");
        for none in ["", "ada", "a@x.example, b@x.example", "a@x.example\r\nBcc: b@x.example", "a@x..example"]
        {
            assert_eq!(sent(none), None, "{none}");
        }
    }
}
