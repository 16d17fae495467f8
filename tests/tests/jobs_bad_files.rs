//! SE3 and the bad files that people and attackers send: each is answered with a word of the program, costs the server nothing
//! that lasts, and stops nobody else.

use std::fs;

use dalston_tests::{
    Server, http,
    jobs::{Form, PATH, wav},
    speech,
};

/// Bytes that the server's memory may grow by, whatever it is sent. Files are decoded in processes of their own.
const GROWTH: u64 = 32 << 20;

/// A WAV file that says this of itself, and claims so many bytes of data.
fn claims(format: u16, channels: u16, rate: u32, bits: u16, claimed: u32, data: &[u8]) -> Vec<u8> {
    let frame = channels * bits / 8;
    let mut file = b"RIFF".to_vec();
    file.extend(claimed.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend([format, channels].map(u16::to_le_bytes).concat());
    file.extend([rate, rate.saturating_mul(frame.into())].map(u32::to_le_bytes).concat());
    file.extend([frame, bits].map(u16::to_le_bytes).concat());
    file.extend(b"data");
    file.extend(claimed.to_le_bytes());
    file.extend(data);
    file
}

/// Ten minutes of silence in a kilobyte: FLAC says "all of these are zero" in fourteen bytes for each 65,535 samples (RFC 9639).
/// And their length in seconds.
fn minutes_of_silence() -> (Vec<u8>, f64) {
    const RATE: u64 = 8_000;
    const BLOCK: u64 = 65_535;
    let frames = 10 * 60 * RATE / BLOCK;
    let mut file = b"fLaC\x80\0\0\x22".to_vec();
    file.extend([0xFF; 4]);
    // Frame sizes unknown; rate, one channel, 16 bits, number of samples; no checksum of the audio.
    file.extend([0; 6]);
    file.extend(((RATE << 44) | (15 << 36) | (frames * BLOCK)).to_be_bytes());
    file.extend([0; 16]);
    for number in 0..frames as u32 {
        let mut frame = vec![0xFF, 0xF8, 0x70, 0x00];
        let number = char::from_u32(number).expect("below the surrogates");
        frame.extend(number.encode_utf8(&mut [0; 4]).as_bytes());
        frame.extend((BLOCK as u16 - 1).to_be_bytes());
        frame.push(crc(&frame, 0x07, 8) as u8);
        frame.extend([0, 0, 0]);
        frame.extend((crc(&frame, 0x8005, 16) as u16).to_be_bytes());
        file.extend(frame);
    }
    (file, (frames * BLOCK) as f64 / RATE as f64)
}

/// A cyclic redundancy check of `width` bits, from zero, most significant bit first.
fn crc(bytes: &[u8], polynomial: u32, width: u32) -> u32 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u32::from(byte) << (width - 8)), |crc, _| {
            let carries = (crc >> (width - 1)) & 1 == 1;
            ((crc << 1) ^ if carries { polynomial } else { 0 }) & ((1 << width) - 1)
        })
    })
}

/// The most memory that a process has had.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn bad_files_are_refused_by_name_or_read_as_far_as_they_go_and_the_next_one_works() {
    let server = Server::loopback().expect("an attempt at a task failed").start();
    let good = wav(&speech::demo()[..160_000]);
    let transcript = |form: Form| {
        let job = server.ended(&form.submit(&server));
        assert_eq!(job["status"], "completed", "{job}");
        job["transcript"].clone()
    };
    let expected = transcript(Form::file("good.wav", &good));
    let before = peak(server.pid());

    let not_a_number: Vec<u8> = f32::NAN.to_le_bytes().repeat(32_000);
    let second = vec![0; 32_000];
    let (silence, minutes) = minutes_of_silence();
    assert!(silence.len() < 1_200, "{} bytes", silence.len());
    let half = &good[..good.len() / 2];
    // What is said of a file that cannot be read, or how many seconds one has that can.
    let cases: [(&str, &[u8], Result<f64, &str>); 15] = [
        ("byte.wav", b"R", Err("unsupported_audio")),
        (
            "text.mp3",
            b"It was a bright cold day in April, and the clocks were striking thirteen.",
            Err("unsupported_audio"),
        ),
        ("page.wav", b"<!doctype html><html><body>404</body></html>", Err("unsupported_audio")),
        ("archive.flac", b"PK\x03\x04\x14\0\0\0\x08\0 and no audio", Err("unsupported_audio")),
        ("zeros.ogg", &[0; 10_000], Err("unsupported_audio")),
        ("no-samples.wav", &claims(1, 1, 16_000, 16, 0, b""), Err("empty_audio")),
        ("no-channels.wav", &claims(1, 0, 16_000, 16, 32_000, &second), Err("corrupt_audio")),
        ("no-rate.wav", &claims(1, 1, 0, 16, 32_000, &second), Err("unsupported_audio")),
        ("nine-channels.wav", &claims(1, 9, 16_000, 16, 28_800, &second[..28_800]), Err("too_many_channels")),
        ("minutes.flac", &silence, Ok(minutes)),
        ("fast.wav", &claims(1, 1, 384_000, 16, 32_000, &second), Ok(16_000.0 / 384_000.0)),
        ("endless.wav", &claims(1, 1, 16_000, 16, u32::MAX, &second), Ok(1.0)),
        ("no-numbers.wav", &claims(3, 1, 16_000, 32, 128_000, &not_a_number), Ok(2.0)),
        ("half.wav", half, Ok(2.5)),
        ("wav.mp3", &good, Ok(5.0)),
    ];
    let ids = cases.map(|(name, bytes, outcome)| (name, outcome, Form::file(name, bytes).submit(&server)));
    for (name, outcome, id) in ids {
        let job = server.ended(&id);
        match outcome {
            Err(code) => {
                assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &code.into()), "{name}: {job}");
                let told = job["error"]["message"].as_str().unwrap_or_default();
                assert!(!told.is_empty() && !told.contains('/'), "{name}: {told:?} names something of this machine");
            }
            Ok(seconds) => {
                assert_eq!(job["status"], "completed", "{name}: {job}");
                let length = job["audio_duration"].as_f64().expect("a length");
                assert!((length - seconds).abs() < 0.01, "{name}: {length} s");
            }
        }
    }
    let grown = peak(server.pid()) - before;
    println!("memory: {} KiB before, {} KiB more at the most", before >> 10, grown >> 10);
    assert!(grown < GROWTH, "the server has grown by {grown} bytes");
    assert_eq!(transcript(Form::file("good.wav", &good)), expected);
}

#[test]
fn bad_requests_are_refused_before_anything_is_kept() {
    let server = Server::loopback().start();
    let refused = |form: Form, status: u16, code: &str| {
        let answer = form.post(&server).expect("the server answers");
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.body);
    };
    refused(Form::file("empty.wav", b""), 400, "invalid_parameter");
    refused(Form::default().field("language", "en"), 400, "invalid_parameter");
    refused(Form::demo().field("retention", "1e999"), 400, "invalid_parameter");
    refused((0..10_000).fold(Form::demo(), |form, part| form.field(&format!("f{part}"), "")), 400, "invalid_parameter");
    let kind = server.send("POST", PATH, "Content-Type: audio/wav\r\n", &[0; 100]).expect("the server answers");
    assert_eq!((kind.status, kind.code().as_str()), (415, "unsupported_media"));

    // Less than was declared.
    let (headers, body) = Form::demo().encoded();
    let headers = format!("{headers}Content-Length: {}\r\n", body.len() + 1_000);
    let mut short = http::begin(server.address(), "POST", PATH, &headers).expect("the server takes connections");
    std::io::Write::write_all(&mut short, &body[..body.len() / 2]).expect("the server reads");
    short.shutdown(std::net::Shutdown::Write).expect("it is open");
    let short = http::finish(short);
    assert!(short.as_ref().map_or(true, |answer| matches!(answer.status, 0 | 400)), "{short:?}");

    let nothing = server.get(PATH).json();
    assert_eq!(nothing["items"].as_array().map(Vec::len), Some(0), "{nothing}");
    let left = |folder: &str| fs::read_dir(server.folder().join("artifacts").join(folder)).map_or(0, Iterator::count);
    server.until("an empty folder", || left("jobs") + left("incoming") == 0);

    let id = Form::file("../../etc/passwd", &wav(&speech::silence(100))).submit(&server);
    assert_eq!(server.ended(&id)["name"], "passwd");
}
