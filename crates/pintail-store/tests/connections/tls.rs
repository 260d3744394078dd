//! Redis with TLS.

use std::net::Ipv4Addr;

use pintail_store::{BadRedisTls, RedisOptions, RedisStore};
use pintail_testkit::{Certificates, ClientCertificates, FaultProxy, RedisServer};
use pintail_tls::TlsError;

use crate::support::{ANNOUNCEMENT, store, subscribe, until_heard, until_it_works, until_refused};

fn options(server: &RedisServer, certificates: &Certificates) -> RedisOptions {
    RedisOptions::new(&server.url()).unwrap().with_ca_file(certificates.ca_file()).unwrap()
}

#[tokio::test]
async fn a_server_whose_authority_is_known_is_trusted() {
    let certificates = Certificates::new();
    let server =
        RedisServer::builder().tls(&certificates, ClientCertificates::NotWanted).user("alice", "sesame").start();
    let store = RedisStore::connect(options(&server, &certificates)).unwrap();
    until_it_works(&store).await;
    let mut mail = subscribe(&store).await;
    until_heard(&mut mail, || drop(server.command(ANNOUNCEMENT))).await;
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_trusted() {
    let server = RedisServer::builder().tls(&Certificates::new(), ClientCertificates::NotWanted).start();
    let other = RedisStore::connect(options(&server, &Certificates::new())).unwrap();
    let why = until_refused(&other, "not trusted").await;
    assert!(why.contains("CA file"), "{why}");
    match RedisStore::connect(RedisOptions::new(&server.url()).unwrap()) {
        Ok(of_the_system) => drop(until_refused(&of_the_system, "not trusted").await),
        Err(error) => assert!(matches!(error, BadRedisTls::Files(TlsError::NoAuthorities)), "{error}"),
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_not_trusted() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates, ClientCertificates::NotWanted).start();
    // The certificate is not made for this address.
    let way = FaultProxy::start_on(Ipv4Addr::new(127, 0, 0, 77), server.address());
    let url = server.url_by_way_of(way.address());
    let options = RedisOptions::new(&url).unwrap().with_ca_file(certificates.ca_file()).unwrap();
    let why = until_refused(&RedisStore::connect(options).unwrap(), "not trusted").await;
    assert!(why.contains("not valid for name"), "{why}");
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_one() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates, ClientCertificates::Wanted).start();
    let without = RedisStore::connect(options(&server, &certificates)).unwrap();
    until_refused(&without, "wants a client certificate").await;

    let with = |of: &Certificates| {
        let options = options(&server, &certificates);
        options.with_client_certificate(of.client_certificate(), of.client_key()).unwrap()
    };
    let of_another_authority = RedisStore::connect(with(&Certificates::new())).unwrap();
    until_refused(&of_another_authority, "wants a client certificate that it trusts").await;
    until_it_works(&RedisStore::connect(with(&certificates)).unwrap()).await;
}

#[tokio::test]
async fn the_wrong_kind_of_port_is_named() {
    let certificates = Certificates::new();
    let encrypted = RedisServer::builder().tls(&certificates, ClientCertificates::NotWanted).start();
    let plain = RedisServer::start();
    let why = until_refused(&store(&encrypted.url().replace("rediss:", "redis:")), "if it expects TLS").await;
    assert!(why.contains("rediss"), "{why}");
    let url = plain.url().replace("redis:", "rediss:");
    let options = RedisOptions::new(&url).unwrap().with_ca_file(certificates.ca_file()).unwrap();
    until_refused(&RedisStore::connect(options).unwrap(), "speaks no TLS").await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let (one, other) = (Certificates::new(), Certificates::new());
    let options = || RedisOptions::new("rediss://127.0.0.1").unwrap();
    let missing = options().with_ca_file("/nowhere/ca.pem").unwrap_err();
    assert!(matches!(missing, BadRedisTls::Files(TlsError::Unreadable { .. })), "{missing:?}");
    assert!(missing.to_string().contains("/nowhere/ca.pem"), "{missing}");
    let key_for_ca = options().with_ca_file(one.client_key()).unwrap_err();
    assert!(matches!(key_for_ca, BadRedisTls::Files(TlsError::NotPem { what: "certificate", .. })), "{key_for_ca:?}");
    let exchanged = options().with_client_certificate(one.client_certificate(), one.client_certificate()).unwrap_err();
    assert!(matches!(exchanged, BadRedisTls::Files(TlsError::NotPem { what: "private key", .. })), "{exchanged:?}");
    let mixed = options().with_client_certificate(one.client_certificate(), other.client_key()).unwrap_err();
    assert!(matches!(mixed, BadRedisTls::Files(TlsError::Mismatch { .. })), "{mixed:?}");
    let plain = RedisOptions::new("redis://127.0.0.1").unwrap().with_ca_file(one.ca_file()).unwrap();
    assert!(matches!(RedisStore::connect(plain).unwrap_err(), BadRedisTls::Unused));

    let good = options().with_client_certificate(one.client_certificate(), one.client_key()).unwrap();
    let key = std::fs::read_to_string(one.client_key()).unwrap();
    assert!(!format!("{good:?}").contains(key.lines().nth(1).unwrap()), "a key is never shown");
}
