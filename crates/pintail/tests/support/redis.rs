//! Looks into a Redis, quickly and often.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection to a Redis. It speaks inline commands, so no argument may have a space in it.
pub struct Peek {
    stream: BufReader<TcpStream>,
}

impl Peek {
    pub fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("Redis listens");
        stream.set_nodelay(true).expect("a TCP socket has this option");
        Self { stream: BufReader::new(stream) }
    }

    /// The answer to a command: each of its values as text, nothing for nil.
    pub fn ask(&mut self, command: &str) -> Vec<String> {
        self.stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).expect("Redis reads");
        let mut values = Vec::new();
        self.read(&mut values);
        values
    }

    /// The answer to a command that has one value at most.
    pub fn one(&mut self, command: &str) -> Option<String> {
        self.ask(command).pop()
    }

    /// Whether placement may choose a server for a game of this type.
    pub fn takes_games(&mut self, game: &str, slot: &str) -> bool {
        self.one(&format!("ZSCORE Placement:{game} {slot}")).is_some()
    }

    fn read(&mut self, values: &mut Vec<String>) {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("Redis answers");
        let line = line.trim_end();
        let (kind, rest) = line.split_at(1);
        match kind {
            "*" => (0..rest.parse::<i64>().expect("a length")).for_each(|_| self.read(values)),
            "$" => {
                let Ok(length) = usize::try_from(rest.parse::<i64>().expect("a length")) else { return };
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes).expect("as many bytes as were announced");
                values.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
            "-" => panic!("Redis refuses: {rest}"),
            _ => values.push(rest.to_owned()),
        }
    }
}
