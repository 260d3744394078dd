//! One request over HTTP, as curl would make it.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::soon;

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Asks for a page, with these further lines in the head of the request.
pub(crate) async fn get(address: SocketAddr, path: &str, head: &str) -> Answer {
    let mut stream = ask(address, path, head).await;
    let mut answer = Vec::new();
    soon(path, stream.read_to_end(&mut answer)).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    Answer { status: status_of(&head), head, body: answer[end + 4..].to_vec() }
}

/// Asks for a page, and waits for the first line of its answer alone: for pages that have no end.
pub(crate) async fn status(address: SocketAddr, path: &str, head: &str) -> u16 {
    let mut line = String::new();
    let mut stream = BufReader::new(ask(address, path, head).await);
    soon(path, stream.read_line(&mut line)).await.unwrap();
    status_of(&line)
}

async fn ask(address: SocketAddr, path: &str, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

fn status_of(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}
