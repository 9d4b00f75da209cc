//! Progress and the lines of the stream, against those that the original wrote.

use std::io::{self, Read};

use layergraph_archive::Ownership;
use layergraph_core::progress::{
    ProgressReader, StreamFormatter, StreamProgress, Task, human_size,
};
use layergraph_core::{Graph, GraphOptions, NewNode};
use layergraph_driver::DriverOptions;
use layergraph_driver_vfs::VfsDriver;
use serde_json::Value;

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn reference() -> serde_json::Result<Value> {
    serde_json::from_str(include_str!("../data/progress.json"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn formatter(is_json: &Value) -> StreamFormatter {
    if is_json.as_bool() == Some(true) {
        StreamFormatter::json()
    } else {
        StreamFormatter::plain()
    }
}

#[test]
fn each_message_is_written_as_the_original_wrote_it() -> Result {
    let reference = reference()?;
    let cases = list(&reference, "format");
    assert!(cases.len() > 50);
    for case in cases {
        let (formatter, call) = (formatter(&case["json"]), &case["call"]);
        let number = |name: &str| call[name].as_i64().unwrap_or(0);
        let (id, words) = (text(call, "id"), text(call, "text"));
        let written = match text(call, "fn") {
            "stream" | "stdout" => formatter.stream(words),
            "stderr" => formatter.stderr(words),
            "status" => formatter.status(id, words),
            "error" => formatter.error(number("code"), text(call, "message")),
            "progress" => {
                let (current, total) = (number("current"), number("total"));
                formatter.progress(id, text(call, "action"), current, total)
            }
            other => panic!("the reference has a call of {other}"),
        };
        // What a writer was given is recorded as a list of its writes.
        let expected = case["output"]
            .as_str()
            .or_else(|| case["output"]["writes"][0].as_str());
        match expected {
            Some(expected) => assert_eq!(written, expected, "{call}"),
            // The original panicked.
            None => assert!(case["error"].is_string(), "{call}"),
        }
    }
    Ok(())
}

#[test]
fn sizes_are_printed_as_the_original_printed_them() -> Result {
    let reference = reference()?;
    let sizes = reference["human_size"].as_object().ok_or("an object")?;
    assert!(sizes.len() > 20);
    for (size, expected) in sizes {
        let number: f64 = size.parse()?;
        assert_eq!(
            human_size(number),
            expected.as_str().ok_or("a text")?,
            "{size}"
        );
    }
    // There the original panicked, for want of a further unit.
    assert_eq!(human_size(1e27), "1000 YB");
    assert_eq!(human_size(1e28), "1e+04 YB");
    Ok(())
}

/// Gives so many bytes with each read, then the end or an error.
struct Source {
    reads: std::vec::IntoIter<usize>,
    fails: Option<String>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.reads.next(), &self.fails) {
            (Some(count), _) => Ok(count.min(buffer.len())),
            (None, Some(message)) => Err(io::Error::other(message.clone())),
            (None, None) => Ok(0),
        }
    }
}

/// What was written since the last look.
#[derive(Clone, Default)]
struct Written(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl Written {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.lock().expect("nobody panics with it").push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_reports_at_the_same_steps_as_the_original() -> Result {
    let reference = reference()?;
    let cases = list(&reference, "reader");
    assert!(cases.len() > 10);
    for case in cases {
        let (config, result) = (&case["config"], &case["result"]);
        let reads = list(config, "Reads").iter().filter_map(Value::as_u64);
        let reads: Vec<usize> = reads
            .map(usize::try_from)
            .collect::<std::result::Result<_, _>>()?;
        let source = Source {
            reads: reads.into_iter(),
            fails: config["Fail"].as_str().map(str::to_owned),
        };
        let written = Written::default();
        let mut progress = StreamProgress::new(formatter(&config["JSON"]), written.clone());
        if config["NewLines"].as_bool() == Some(true) {
            progress = progress.with_new_lines();
        }
        let action: &'static str = text(config, "Action").to_owned().leak();
        let task = Task {
            action,
            id: text(config, "ID").to_owned(),
            total: config["Size"].as_u64().filter(|size| *size > 0),
        };
        let mut reader = ProgressReader::new(source, task, &mut progress);
        let mut buffer = vec![0; usize::try_from(config["Bufsize"].as_u64().unwrap_or(32768))?];
        for (number, step) in list(result, "steps").iter().enumerate() {
            let place = || format!("step {number} of {config}");
            let read = reader.read(&mut buffer);
            match step["err"].as_str() {
                None | Some("EOF") => assert_eq!(read? as u64, step["n"], "{}", place()),
                Some(message) => {
                    let error = read.expect_err("the source fails");
                    assert_eq!(error.to_string(), message, "{}", place());
                }
            }
            assert_eq!(written.take(), lines(&step["writes"]), "{}", place());
        }
        reader.close();
        assert_eq!(written.take(), lines(&result["close_writes"]), "{config}");
    }
    Ok(())
}

fn lines(writes: &Value) -> Vec<&str> {
    let writes = writes.as_array().map_or(&[][..], Vec::as_slice);
    writes.iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_end_is_told_once_and_only_where_it_is() -> Result {
    let written = Written::default();
    let mut progress = StreamProgress::new(StreamFormatter::plain(), written.clone());
    let task = Task {
        action: "Reading",
        id: String::new(),
        total: Some(3),
    };
    let mut reader = ProgressReader::new(&b"abc"[..], task, &mut progress);
    // A read of nothing says nothing about the end.
    assert_eq!(reader.read(&mut [])?, 0);
    assert_eq!(written.take(), [""; 0]);
    assert_eq!(io::copy(&mut reader, &mut io::sink())?, 3);
    assert_eq!(written.take().len(), 3);
    assert_eq!(reader.read(&mut [0; 8])?, 0);
    drop(reader);
    assert_eq!(written.take(), [""; 0]);
    Ok(())
}

#[test]
fn a_narrow_terminal_gets_numbers_without_a_bar() {
    let plain = StreamFormatter::plain();
    let narrow = plain.with_width(110).progress("", "Reading", 15, 30);
    assert_eq!(narrow, "Reading     15 B/30 B\r");
    let wide = plain.with_width(111).progress("", "Reading", 15, 30);
    assert_eq!(wide, plain.progress("", "Reading", 15, 30));
}

#[test]
fn numbers_that_make_no_sense_are_drawn_all_the_same() {
    let plain = StreamFormatter::plain();
    // The original panicked.
    let line = plain.progress("", "Reading", -5, 10);
    assert_eq!(
        line,
        format!("Reading [>{}]     -5 B/10 B\r", " ".repeat(50))
    );
    let line = plain.progress("", "Reading", i64::MAX, 1);
    assert_eq!(
        line,
        format!("Reading [{}>] 9.223 EB/1 B\r", "=".repeat(50))
    );
}

/// A stream of which nobody reads the end.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_that_fails_stops_no_work_and_says_why() -> Result {
    let mut progress = StreamProgress::new(StreamFormatter::json(), Closed);
    let task = Task {
        action: "Reading",
        id: String::new(),
        total: None,
    };
    let mut reader = ProgressReader::new(&b"abc"[..], task, &mut progress);
    assert_eq!(io::copy(&mut reader, &mut io::sink())?, 3);
    let error = progress.error().ok_or("the stream failed")?;
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    Ok(())
}

/// As the original did for each layer that fits into one step: the end, twice.
#[test]
fn buffering_a_layer_to_disk_is_told_as_the_original_told_it() -> Result {
    let home = tempfile::tempdir()?;
    let mut options = DriverOptions::default();
    options.ownership = Ownership::Squash;
    let driver = VfsDriver::open_dyn(home.path(), &options)?;
    let graph = Graph::open(home.path(), driver, &GraphOptions::default())?;
    let node = graph.create(&NewNode::default(), Some(&mut &[0; 1024][..]))?;
    let id = node.id().to_string();
    for (name, shown) in [
        (&id[..], &id[..12]),
        (&id[..20], &id[..12]),
        (&id[..5], &id[..5]),
    ] {
        let written = Written::default();
        let mut progress = StreamProgress::new(StreamFormatter::json(), written.clone());
        let archive = graph.temp_layer_archive(name, &mut progress)?;
        let size = archive.size();
        assert_eq!(size, 1024);
        let line = format!(
            "{{\"status\":\"Buffering to disk\",\"progressDetail\":{{\"current\":{size}}},\
             \"progress\":\"1.024 kB\",\"id\":\"{shown}\"}}"
        );
        assert_eq!(written.take(), [line.as_str(), line.as_str()]);
    }
    Ok(())
}
