//! The trivial server that every figure is set against: one process, one thread, echoes frames, does nothing else.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use bytes::BytesMut;
use pintail_net::{Outbox, TcpConnection};
use pintail_wire::kind::client as kind;
use tokio::net::TcpListener;

/// How this program is told to be the trivial server.
pub(crate) const ARGUMENT: &str = "--trivial-server";

/// Echoes until the process is ended.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));
        std::io::stdout().flush().expect("the driver reads");
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = TcpConnection::new(stream, 1 << 16, 4096).expect("socket options");
                let outbox = Outbox::new(1 << 20);
                while let Ok(Some(frame)) = connection.recv(&outbox).await {
                    let _ = outbox.push_with(|buffer: &mut BytesMut| {
                        pintail_wire::encode_frame(buffer, kind::GAME_MESSAGE, &frame.body);
                    });
                }
            });
        }
    });
}

/// Starts this program as the trivial server; gives the process and its address.
pub(crate) fn start() -> (Child, String) {
    let program = std::env::current_exe().expect("this program");
    let mut child =
        Command::new(program).arg(ARGUMENT).stdout(Stdio::piped()).spawn().expect("this program starts again");
    let mut address = String::new();
    let stdout = child.stdout.take().expect("its output");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut address).expect("its address");
    (child, address.trim().to_owned())
}
