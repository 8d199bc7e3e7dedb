//! Encrypted connections: who gets one, and what is said of certificates that are none.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use simbert::server::{Client, ClientOptions, ClientTls, Server, ServerOptions, TlsFiles, proto};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::Status;

use crate::certificates::{Authority, replace};
use crate::harness::{Served, connect_as, engine, numbered, options, run, said};

fn with(tls: TlsFiles) -> ServerOptions {
    ServerOptions { tls: Some(tls), ..options() }
}

fn by(tls: ClientTls) -> ClientOptions {
    ClientOptions { tls: Some(tls), ..ClientOptions::default() }
}

async fn serve(tls: TlsFiles, client: ClientTls) -> Served {
    let folder = Arc::new(TempDir::new().unwrap());
    Served::serve_to(engine(folder.path(), "fake"), folder, with(tls), &by(client)).await
}

async fn ask(client: &mut Client) -> Result<Vec<proto::Bank>, Status> {
    Ok(client.banks.list_banks(proto::ListBanksRequest::default()).await?.into_inner().banks)
}

/// Why this client gets no connection.
async fn refusal(address: SocketAddr, options: &ClientOptions) -> String {
    connect_as(address, options).await.unwrap_err().to_string()
}

#[tokio::test]
async fn an_encrypted_server_answers_whom_it_can_prove_itself_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mut served = serve(authority.server(), authority.client()).await;
    served.create("faq").await.unwrap();
    served.upsert(numbered(0..100)).await.unwrap();
    assert_eq!(served.ids(30).await.len(), 100);

    let wrong = refusal(served.address, &by(stranger.client())).await;
    assert!(wrong.contains("invalid peer certificate: ") && wrong.contains("UnknownIssuer"), "{wrong}");
    let mut plain = connect_as(served.address, &ClientOptions::default()).await.unwrap();
    ask(&mut plain).await.unwrap_err();
    ask(&mut served.client).await.unwrap();
    served.stop().await;
}

#[tokio::test]
async fn a_server_is_known_by_the_name_in_its_certificate() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("named", &["search.example"]);
    let named = ClientTls { server_name: Some("search.example".to_owned()), ..authority.client() };
    let served = serve(TlsFiles { certificate, key, client_ca: None }, named).await;
    let wrong = refusal(served.address, &by(authority.client())).await;
    assert!(wrong.contains("not valid for name"), "{wrong}");
    served.stop().await;
}

#[tokio::test]
async fn a_server_that_asks_for_certificates_serves_nobody_without() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mut served = serve(authority.asking_server(), authority.client_of(&authority)).await;
    ask(&mut served.client).await.unwrap();
    let without = refusal(served.address, &by(authority.client())).await;
    assert!(without.contains("closed the connection") && without.contains("`--client-cert`"), "{without}");
    let wrong = refusal(served.address, &by(authority.client_of(&stranger))).await;
    assert!(wrong.contains("closed the connection") && !wrong.contains("--client-cert"), "{wrong}");
    served.stop().await;
}

#[tokio::test]
async fn a_url_and_certificates_go_together() {
    let authority = Authority::new();
    let connect = async |url: &str, options| Client::connect(url, &options).await.unwrap_err().to_string();
    assert_snapshot!(connect("https://127.0.0.1:1", ClientOptions::default()).await, @"server address: expected the authorities to trust with `https://…`: `--ca FILE`, `ClientOptions::tls`, received `https://127.0.0.1:1`");
    assert_snapshot!(connect("http://127.0.0.1:1", by(authority.client())).await, @"server address: expected `https://host:port` with authorities or certificates, received `http://127.0.0.1:1`");
    assert_snapshot!(connect("ftp://127.0.0.1:1", ClientOptions::default()).await, @"server address: expected `http://host:port` or `https://host:port`, received `ftp://127.0.0.1:1`");
}

#[tokio::test]
async fn new_certificates_are_for_new_connections_and_bad_ones_for_none() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.server();
    let mut served = serve(files.clone(), old.client()).await;
    assert!(!served.renewal.is_idle());
    served.renewal.run();
    connect_as(served.address, &by(old.client())).await.unwrap();

    let renewed = new.server();
    replace(&files.certificate, &renewed.certificate);
    served.renewal.run(); // the key is still the old one
    connect_as(served.address, &by(old.client())).await.unwrap();
    replace(&files.key, &renewed.key);
    served.renewal.run();
    let mut client = connect_as(served.address, &by(new.client())).await.unwrap();
    ask(&mut client).await.unwrap();
    assert!(refusal(served.address, &by(old.client())).await.contains("UnknownIssuer"));
    ask(&mut served.client).await.unwrap(); // an open connection stays
    served.stop().await;
}

#[tokio::test]
async fn callers_who_say_nothing_hold_up_nobody_and_not_the_end() {
    let authority = Authority::new();
    let mut served = serve(authority.server(), authority.client()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let started = Instant::now();
    let mut another = connect_as(served.address, &by(authority.client())).await.unwrap();
    ask(&mut another).await.unwrap();
    ask(&mut served.client).await.unwrap();
    drop(another);
    served.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_secs(5), silent[0].read(&mut byte)).await.unwrap();
    assert!(!matches!(read, Ok(1..)), "the connection is closed: {read:?}");
}

/// What a server says instead of starting, in the folder's terms.
async fn bind(folder: &Authority, options: ServerOptions) -> String {
    let data = TempDir::new().unwrap();
    let error = Server::bind(engine(data.path(), "fake"), options).await.err().expect("a refusal").to_string();
    error.replace(folder.path("").to_str().unwrap(), "")
}

#[tokio::test]
async fn bad_files_are_named_with_what_is_wrong() {
    let authority = Authority::new();
    let good = authority.server();
    let (other, other_key) = authority.sign("other", &["localhost"]);
    let text = std::fs::read_to_string(&good.certificate).unwrap();
    let with_certificate = async |name: &str, text: &str| {
        let certificate = authority.write(name, text);
        bind(&authority, with(TlsFiles { certificate, ..good.clone() })).await
    };
    let with_key = async |key| bind(&authority, with(TlsFiles { key, ..good.clone() })).await;
    let with_authorities = async |client_ca| bind(&authority, with(TlsFiles { client_ca, ..good.clone() })).await;

    let missing = TlsFiles { certificate: authority.path("none.pem"), ..good.clone() };
    assert_snapshot!(bind(&authority, with(missing)).await, @"none.pem: cannot read the certificate: No such file or directory (os error 2)");
    assert_snapshot!(with_certificate("empty.pem", "").await, @"certificate file empty.pem: expected PEM with a section `-----BEGIN CERTIFICATE-----`, received neither");
    let cut = text.split_at(text.len() / 2).0;
    assert_snapshot!(with_certificate("cut.pem", cut).await, @"certificate file cut.pem: expected PEM with a section `-----BEGIN CERTIFICATE-----`, received one whose end is missing");
    let odd = text.replacen("MII", "M!I", 1);
    assert_snapshot!(with_certificate("odd.pem", &odd).await, @"certificate file odd.pem: expected PEM with a section `-----BEGIN CERTIFICATE-----`, received one that is not Base64");
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_snapshot!(with_certificate("hollow.pem", hollow).await, @"certificate file hollow.pem: expected an X.509 certificate of version 3, received another (BadEncoding)");
    assert_snapshot!(with_key(other_key).await, @"key file other.key: expected the key of the certificate in server.pem, received another");
    let swapped = TlsFiles { certificate: good.key.clone(), key: good.certificate.clone(), client_ca: None };
    assert_snapshot!(bind(&authority, with(swapped)).await, @"certificate file server.key: expected PEM with a section `-----BEGIN CERTIFICATE-----`, received a private key; are the two files swapped?");
    assert_snapshot!(with_key(other).await, @"key file other.pem: expected PEM with a section `-----BEGIN PRIVATE KEY-----`, received a certificate; are the two files swapped?");
    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_snapshot!(with_key(authority.write("sealed.key", sealed)).await, @"key file sealed.key: expected PEM with a section `-----BEGIN PRIVATE KEY-----`, received an encrypted key; `openssl pkey -in FILE -out FILE` makes a plain one of it");
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_snapshot!(with_key(authority.write("hollow.key", no_key)).await, @"key file hollow.key: expected an RSA, ECDSA or Ed25519 key, received unexpected error: failed to parse private key as RSA, ECDSA, or EdDSA");
    assert_snapshot!(with_authorities(Some(authority.path("server.key"))).await, @"certificate file server.key: expected PEM with a section `-----BEGIN CERTIFICATE-----`, received a private key; are the two files swapped?");
    assert_snapshot!(with_authorities(Some(authority.path("hollow.pem"))).await, @"certificate file hollow.pem: expected an X.509 certificate of version 3, received another (BadEncoding)");
}

#[tokio::test]
async fn an_address_that_others_reach_is_served_encrypted_or_with_leave() {
    let authority = Authority::new();
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    assert_snapshot!(bind(&authority, ServerOptions { listen, ..options() }).await, @"address 0.0.0.0:0: expected TLS (`--tls-cert` and `--tls-key`) on an address that other machines reach, or `--allow-plaintext` where something else encrypts, received neither");
    let served = Served::start_with(ServerOptions { listen, allow_plaintext: true, ..options() }).await;
    assert!(served.renewal.is_idle());
    served.stop().await;
    let folder = Arc::new(TempDir::new().unwrap());
    let engine = engine(folder.path(), "fake");
    let options = ServerOptions { listen, ..with(authority.server()) };
    let mut served = Served::serve_to(engine, folder, options, &by(authority.client())).await;
    ask(&mut served.client).await.unwrap();
    served.stop().await;
}

#[tokio::test]
async fn the_commands_reach_an_encrypted_server() {
    let authority = Authority::new();
    let mut served = serve(authority.asking_server(), authority.client_of(&authority)).await;
    served.create("faq").await.unwrap();
    served.upsert(numbered(0..5)).await.unwrap();
    let elsewhere = TempDir::new().unwrap();
    let path = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let (ca, certificate, key) =
        (path(authority.ca()), path(authority.path("client.pem")), path(authority.path("client.key")));
    let (file, url) = (path(elsewhere.path().join("faq.bank")), format!("https://{}", served.address));
    let snapshot = ["bank", "snapshot", "faq", &file, "--server", &url];
    let shown = [&snapshot[..], &["--ca", &ca, "--client-cert", &certificate, "--client-key", &key]].concat();
    let shown = said(run(elsewhere.path(), &shown).await).unwrap();
    assert!(shown.starts_with("bank `faq`: 5 questions copied to"), "{shown}");

    let (code, without) = said(run(elsewhere.path(), &[&snapshot[..], &["--force"]].concat()).await).unwrap_err();
    assert!(code == Some(1) && without.contains("`--ca FILE`"), "{without}");
    let (code, asked) =
        said(run(elsewhere.path(), &[&snapshot[..], &["--force", "--ca", &ca]].concat()).await).unwrap_err();
    assert!(code == Some(1) && asked.contains("`--client-cert`"), "{asked}");
    let alone = [&snapshot[..], &["--ca", &ca, "--client-cert", &certificate]].concat();
    let (code, alone) = said(run(elsewhere.path(), &alone).await).unwrap_err();
    assert!(code == Some(2) && alone.contains("--client-key"), "{alone}");
    served.stop().await;
}
