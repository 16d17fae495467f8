//! Pulling from a real server on loopback that serves ranges, or does not, and breaks off.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::digest::Digest;
use super::origin::Origin;
use super::pull::{Watcher, pull};
use super::registry::{File, Model, Size, Source};
use super::shelf::Shelf;

const LENGTH: usize = 300_000;

fn content(seed: u8) -> Vec<u8> {
    (0..LENGTH).map(|at| (at % 251) as u8 ^ seed).collect()
}

fn file(name: &'static str, content: &[u8]) -> File {
    let mut hasher = Digest::sha256("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").hasher();
    hasher.update(content);
    let digest = Digest::sha256(hasher.finish().leak());
    File { name, url: "https://models.invalid/", size: Size::Bytes(content.len() as u64), digest }
}

fn model(source: Source) -> Model {
    Model { id: "test/model", engine: "test", about: "", licence: "", source }
}

/// How a server is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Serves what is asked for.
    Good,
    /// The first answer ends after a third.
    BreaksOff,
    /// Every answer ends after a third of it.
    AlwaysBreaksOff,
    /// Gives whole files only.
    NoRanges,
    /// Has nothing.
    Empty,
}

/// A server of files, and the first byte of each request that was made.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Server {
    async fn start(manner: Manner, files: Vec<(&'static str, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let requests = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, manner, &files, &requests).await.expect("answered");
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<(String, u64)> {
        self.asked.lock().expect("no panic").clone()
    }

    fn origin(&self) -> Origin {
        origin(&format!("http://{}", self.address))
    }
}

fn origin(from: &str) -> Origin {
    Origin::new(Some(from), dalston_egress::Settings::default()).expect("a place")
}

async fn answer(
    mut stream: TcpStream,
    manner: Manner,
    files: &[(&'static str, Vec<u8>)],
    asked: &Mutex<Vec<(String, u64)>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let name = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let range = head.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse().ok());
    let from: u64 = range.unwrap_or(0);
    let is_first = {
        let mut asked = asked.lock().expect("no panic");
        asked.push((name.clone(), from));
        asked.len() == 1
    };
    let Some((_, content)) = files.iter().find(|(known, _)| *known == name).filter(|_| manner != Manner::Empty) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    };
    let whole = content.len();
    let from = if manner == Manner::NoRanges { 0 } else { from as usize };
    let head = match from {
        0 => format!("HTTP/1.1 200 OK\r\ncontent-length: {whole}\r\n\r\n"),
        from if from >= whole => "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\n\r\n".to_owned(),
        from => {
            let (last, rest) = (whole - 1, whole - from);
            let range = format!("content-range: bytes {from}-{last}/{whole}");
            format!("HTTP/1.1 206 Partial Content\r\n{range}\r\ncontent-length: {rest}\r\n\r\n")
        }
    };
    stream.write_all(head.as_bytes()).await?;
    let body = &content[from.min(whole)..];
    let breaks = manner == Manner::AlwaysBreaksOff || (manner == Manner::BreaksOff && is_first);
    stream.write_all(if breaks { &body[..body.len() / 3] } else { body }).await?;
    stream.shutdown().await
}

/// Remembers how far it is.
#[derive(Default)]
struct Seen(Cell<u64>);

impl Watcher for Seen {
    fn begins(&self, _: &File, have: u64, length: Option<u64>) {
        assert!(length.is_none_or(|length| have <= length));
        self.0.set(have);
    }

    fn has(&self, bytes: u64) {
        assert!(bytes > self.0.get(), "bytes come and do not go");
        self.0.set(bytes);
    }
}

fn shelf() -> (TempDir, Shelf) {
    let folder = TempDir::new().expect("a folder");
    let shelf = Shelf::of(folder.path());
    (folder, shelf)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test]
async fn a_model_comes_whole_and_nothing_else_is_left() {
    let (folder, shelf) = shelf();
    let server = Server::start(Manner::Good, vec![("m.bin", content(1))]).await;
    let model = model(Source::File(file("m.bin", &content(1))));
    assert!(!shelf.has(&model));
    let seen = Seen::default();
    pull(&shelf, &model, &server.origin(), &seen).await.expect("pulled");
    assert!(shelf.has(&model));
    assert_eq!(read(&folder.path().join("models/test/m.bin")), content(1));
    assert_eq!((seen.0.get(), server.asked()), (LENGTH as u64, vec![("m.bin".into(), 0)]));
    assert!(!shelf.staging(&model).exists());
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let (_folder, shelf) = shelf();
    let server = Server::start(Manner::BreaksOff, vec![("m.bin", content(2))]).await;
    let model = model(Source::File(file("m.bin", &content(2))));
    pull(&shelf, &model, &server.origin(), &Seen::default()).await.expect("pulled");
    assert_eq!(read(&shelf.place(&model)), content(2));
    let third = LENGTH as u64 / 3;
    assert_eq!(server.asked(), [("m.bin".into(), 0), ("m.bin".into(), third)]);
}

#[tokio::test]
async fn a_server_that_always_breaks_off_is_given_up_and_what_came_stays() {
    let (_folder, shelf) = shelf();
    let model = model(Source::File(file("m.bin", &content(3))));
    let server = Server::start(Manner::AlwaysBreaksOff, vec![("m.bin", content(3))]).await;
    let error = pull(&shelf, &model, &server.origin(), &Seen::default()).await.expect_err("never all of it");
    assert!(format!("{error:#}").contains("run the command again"), "{error:#}");
    assert!(!shelf.has(&model) && server.asked().len() < 50);
    let have = read(&shelf.staging(&model).join("m.bin.part")).len() as u64;
    assert!(have > LENGTH as u64 / 2);
    // Another day, another process.
    let server = Server::start(Manner::Good, vec![("m.bin", content(3))]).await;
    pull(&shelf, &model, &server.origin(), &Seen::default()).await.expect("pulled");
    assert_eq!(read(&shelf.place(&model)), content(3));
    assert_eq!(server.asked(), [("m.bin".into(), have)]);
}

#[tokio::test]
async fn a_server_without_ranges_begins_anew() {
    let (_folder, shelf) = shelf();
    let model = model(Source::File(file("m.bin", &content(4))));
    std::fs::create_dir_all(shelf.staging(&model)).expect("made");
    std::fs::write(shelf.staging(&model).join("m.bin.part"), &content(4)[..1000]).expect("written");
    let server = Server::start(Manner::NoRanges, vec![("m.bin", content(4))]).await;
    pull(&shelf, &model, &server.origin(), &Seen::default()).await.expect("pulled");
    assert_eq!(read(&shelf.place(&model)), content(4));
}

#[tokio::test]
async fn all_of_it_without_its_checksum_is_checked_and_not_fetched_again() {
    let (_folder, shelf) = shelf();
    let model = model(Source::File(file("m.bin", &content(5))));
    std::fs::create_dir_all(shelf.staging(&model)).expect("made");
    std::fs::write(shelf.staging(&model).join("m.bin.part"), content(5)).expect("written");
    let server = Server::start(Manner::Good, vec![("m.bin", content(5))]).await;
    pull(&shelf, &model, &server.origin(), &Seen::default()).await.expect("pulled");
    assert_eq!(read(&shelf.place(&model)), content(5));
}

#[tokio::test]
async fn what_is_not_what_was_published_is_removed() {
    let (_folder, shelf) = shelf();
    let model = model(Source::File(file("m.bin", &content(6))));
    let server = Server::start(Manner::Good, vec![("m.bin", content(7))]).await;
    let error = pull(&shelf, &model, &server.origin(), &Seen::default()).await.expect_err("another file");
    assert!(format!("{error:#}").contains("sha256:"), "{error:#}");
    assert!(!shelf.has(&model) && !shelf.staging(&model).join("m.bin.part").exists());
}

#[tokio::test]
async fn what_is_not_there_is_said_with_its_place() {
    let (_folder, shelf) = shelf();
    let model = model(Source::File(file("m.bin", &content(8))));
    let server = Server::start(Manner::Empty, vec![]).await;
    let error = pull(&shelf, &model, &server.origin(), &Seen::default()).await.expect_err("nothing there");
    let text = format!("{error:#}");
    assert!(text.contains("404") && text.contains("/m.bin"), "{text}");
}

#[tokio::test]
async fn a_folder_is_there_when_its_last_file_is() {
    let (_folder, shelf) = shelf();
    let files: &[File] = vec![file("a.onnx", &content(9)), file("b.txt", &content(10))].leak();
    let model = model(Source::Folder(files));
    let half = Server::start(Manner::Good, vec![("a.onnx", content(9))]).await;
    pull(&shelf, &model, &half.origin(), &Seen::default()).await.expect_err("one file is missing");
    assert!(!shelf.has(&model) && !shelf.place(&model).exists());
    let whole = Server::start(Manner::Good, vec![("a.onnx", content(9)), ("b.txt", content(10))]).await;
    pull(&shelf, &model, &whole.origin(), &Seen::default()).await.expect("pulled");
    assert!(shelf.has(&model));
    assert_eq!(whole.asked(), [("b.txt".into(), 0)], "the other one was there");
    assert_eq!(read(&shelf.place(&model).join("b.txt")), content(10));
}

#[tokio::test]
async fn a_folder_without_a_network_will_do() {
    let (folder, shelf) = shelf();
    let model = model(Source::File(file("m.bin", &content(11))));
    std::fs::write(folder.path().join("m.bin"), content(11)).expect("written");
    let origin = origin(folder.path().to_str().expect("a path"));
    pull(&shelf, &model, &origin, &Seen::default()).await.expect("pulled");
    assert_eq!(read(&shelf.place(&model)), content(11));
}

#[tokio::test]
async fn a_model_is_pulled_once_at_a_time() {
    let (folder, shelf) = shelf();
    let model = model(Source::File(file("m.bin", &content(12))));
    std::fs::write(folder.path().join("m.bin"), content(12)).expect("written");
    std::fs::create_dir_all(shelf.staging(&model)).expect("made");
    let lock = std::fs::File::create(shelf.lock(&model)).expect("made");
    lock.lock().expect("locked");
    let origin = origin(folder.path().to_str().expect("a path"));
    let error = pull(&shelf, &model, &origin, &Seen::default()).await.expect_err("another pulls it");
    assert!(error.to_string().contains("being pulled"), "{error}");
    drop(lock);
    pull(&shelf, &model, &origin, &Seen::default()).await.expect("pulled");
}
