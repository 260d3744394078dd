//! The proxy against a server that sends back what it gets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

/// How long nothing must come for it to count as nothing.
const SILENCE: Duration = Duration::from_millis(100);

/// Sends back what it gets, as long as the test's process lives.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    address
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

fn hear(stream: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

fn hear_nothing(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

#[test]
fn it_passes_both_ways_and_counts() {
    let proxy = FaultProxy::start(echo());
    let started = Instant::now();
    let mut one = connect(&proxy);
    say(&mut one, "hello");
    hear(&mut one, "hello");
    one.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(one.read(&mut [0]).unwrap(), 0, "the end passes too");
    let deadline = Instant::now() + PATIENCE;
    let expected = Traffic { connections: 1, bytes_to_target: 5, bytes_to_client: 5 };
    while proxy.traffic() != expected {
        assert!(Instant::now() < deadline, "{:?}", proxy.traffic());
        std::thread::sleep(POLL);
    }
    let arrivals = proxy.arrivals();
    assert!(matches!(&arrivals[..], [at] if *at >= started), "{arrivals:?}");
}

#[test]
fn delayed_bytes_come_late_each_way_and_share_the_way() {
    let proxy = FaultProxy::start(echo());
    let mut stream = connect(&proxy);
    let (to_target, to_client) = (Duration::from_millis(150), Duration::from_millis(100));
    proxy.set(Fault::Delay { to_target, to_client });
    let started = Instant::now();
    for _ in 0..5 {
        say(&mut stream, "ping");
        std::thread::sleep(Duration::from_millis(10));
    }
    hear(&mut stream, "pingpingpingpingping");
    let took = started.elapsed();
    assert!(took >= to_target + to_client, "{took:?}");
    assert!(took < (to_target + to_client) * 4, "they are under way together: {took:?}");
}

#[test]
fn swallowed_bytes_are_gone() {
    let proxy = FaultProxy::start(echo());
    let mut stream = connect(&proxy);
    for fault in [Fault::Swallow(Direction::ToTarget), Fault::Swallow(Direction::ToClient), Fault::SwallowAll] {
        proxy.set(fault);
        say(&mut stream, "lost");
        hear_nothing(&mut stream);
        proxy.set(Fault::Pass);
        say(&mut stream, "kept");
        hear(&mut stream, "kept");
    }
    assert_eq!(proxy.traffic().bytes_to_target, 3 * 4 + 4, "only the second fault let `lost` reach the target");
}

#[test]
fn frozen_bytes_come_later() {
    let proxy = FaultProxy::start(echo());
    let mut stream = connect(&proxy);
    proxy.set(Fault::Freeze);
    say(&mut stream, "kept");
    hear_nothing(&mut stream);
    proxy.set(Fault::Pass);
    hear(&mut stream, "kept");
}

#[test]
fn a_cut_resets_and_refuses_until_it_is_over() {
    let proxy = FaultProxy::start(echo());
    let mut stream = connect(&proxy);
    say(&mut stream, "hello");
    hear(&mut stream, "hello");
    proxy.set(Fault::Cut);
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(TcpStream::connect(proxy.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.set(Fault::Pass);
    let mut stream = connect(&proxy);
    say(&mut stream, "hello");
    hear(&mut stream, "hello");
}

#[test]
fn connections_of_one_moment_can_be_reset_or_stranded() {
    let proxy = FaultProxy::start(echo());
    let mut old = connect(&proxy);
    say(&mut old, "hello");
    hear(&mut old, "hello");
    proxy.strand_connections();
    say(&mut old, "lost");
    hear_nothing(&mut old);
    let mut new = connect(&proxy);
    say(&mut new, "hello");
    hear(&mut new, "hello");
    hear_nothing(&mut old);
    proxy.reset_connections();
    for stream in [&mut old, &mut new] {
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    connect(&proxy);
}

#[test]
fn a_target_that_is_down_resets() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = FaultProxy::start(nobody);
    assert_eq!(connect(&proxy).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn everything_ends_with_it() {
    let proxy = FaultProxy::start_on(Ipv4Addr::new(127, 0, 0, 9), echo());
    let address = proxy.address();
    let mut stream = connect(&proxy);
    say(&mut stream, "hello");
    hear(&mut stream, "hello");
    drop(proxy);
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
