//! One request to a server's admin port.

use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Such as 200.
    pub(crate) status: u16,
    /// What it sent.
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum NoAnswer {
    /// The connection.
    #[error(
        "the connection to {address} failed ({error}): check that the server runs and that the address is its admin port"
    )]
    Connection {
        /// Whose.
        address: String,
        /// What happened.
        error: std::io::Error,
    },
    /// It takes too long.
    #[error("{address} did not answer within {} s: the server may be stuck, `pintail status` says more", .patience.as_secs())]
    TooLate {
        /// Who.
        address: String,
        /// How long it had.
        patience: Duration,
    },
    /// It is no HTTP, or more than is taken.
    #[error("{address} sent no answer that could be read: check that it is an admin port")]
    Unreadable {
        /// Who.
        address: String,
    },
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Of whom: host and port.
    pub(crate) address: &'a str,
    /// The path and what follows a question mark.
    pub(crate) path: &'a str,
    /// What opens the port to those on other machines.
    pub(crate) token: Option<&'a str>,
    /// The most bytes of an answer.
    pub(crate) bytes_max: u64,
    /// How long it may take.
    pub(crate) patience: Duration,
}

impl Request<'_> {
    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn get(self) -> Result<Answer, NoAnswer> {
        let address = self.address.to_owned();
        match timeout(self.patience, self.exchange()).await {
            Ok(Ok(bytes)) => read_answer(&bytes).ok_or(NoAnswer::Unreadable { address }),
            Ok(Err(error)) => Err(NoAnswer::Connection { address, error }),
            Err(_) => Err(NoAnswer::TooLate { address, patience: self.patience }),
        }
    }

    async fn exchange(self) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(self.head().as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(self.bytes_max).read_to_end(&mut answer).await?;
        Ok(answer)
    }

    /// In HTTP 1.0: the answer comes in one piece and ends with the connection.
    fn head(&self) -> String {
        let token = self.token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!("GET {} HTTP/1.0\r\nHost: {}\r\n{token}\r\n", self.path, self.address)
    }
}

fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = bytes[end + 4..].to_vec();
    // An answer that was cut short is none.
    length.is_none_or(|length| length == body.len()).then_some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = |text: &str| read_answer(text.as_bytes());
        let of = |status, body: &str| Some(Answer { status, body: body.as_bytes().to_vec() });
        assert_eq!(answer("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na\nb"), of(200, "a\nb"));
        assert_eq!(answer("HTTP/1.0 404 Not Found\r\nX: y\r\n\r\n"), of(404, ""));
        for none in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 abc\r\n\r\n", "SSH-2.0-x\r\n\r\n"] {
            assert_eq!(answer(none), None, "{none}");
        }
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"), None, "it was cut short");
    }

    fn request(address: &str) -> Request<'_> {
        Request { address, path: "/x?y=1", token: Some("key"), bytes_max: 1024, patience: Duration::from_secs(60) }
    }

    #[tokio::test]
    async fn the_token_is_sent_and_the_answer_ends_with_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let count = stream.read(&mut asked).await.unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfine").await.unwrap();
            String::from_utf8(asked[..count].to_vec()).unwrap()
        };
        let (answer, asked) = tokio::join!(request(&address).get(), serve);
        assert_eq!(answer.unwrap().body, b"fine");
        assert!(asked.starts_with("GET /x?y=1 HTTP/1.0\r\n") && asked.contains("\r\nAuthorization: Bearer key\r\n"));
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let refusal = request(&address).get().await.unwrap_err().to_string();
        assert!(refusal.contains(&address) && refusal.contains("admin port"), "{refusal}");
    }
}
