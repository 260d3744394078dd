//! A profile as `go tool pprof`, Grafana and others read it: `profile.proto` of github.com/google/pprof, compressed with gzip.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use prost::Message;

use crate::{Line, Location, Profile};

/// The file's bytes. Each sample has its count and its CPU time in nanoseconds, and the thread as a label.
#[must_use]
pub fn encode(profile: &Profile) -> Vec<u8> {
    gzip(&message(profile).encode_to_vec())
}

fn message(profile: &Profile) -> proto::Profile {
    let mut tables = Tables::default();
    // The empty text comes first, by definition.
    tables.text("");
    let period = nanoseconds(profile.period);
    let sample_type = vec![tables.value_type("samples", "count"), tables.value_type("cpu", "nanoseconds")];
    let period_type = Some(tables.value_type("cpu", "nanoseconds"));
    let thread = tables.text("thread");
    let sample = profile
        .samples
        .iter()
        .map(|sample| {
            let count = i64::try_from(sample.count).unwrap_or(i64::MAX);
            proto::Sample {
                location_id: sample.stack.iter().map(|location| tables.location(location)).collect(),
                value: vec![count, count.saturating_mul(period)],
                label: vec![proto::Label { key: thread, str: tables.text(&sample.thread) }],
            }
        })
        .collect();
    let comment = match profile.lost {
        0 => Vec::new(),
        lost => vec![tables.text(&format!("{lost} samples found no room"))],
    };
    let since_epoch = profile.began.duration_since(UNIX_EPOCH).unwrap_or_default();
    proto::Profile {
        sample_type,
        sample,
        location: tables.locations,
        function: tables.functions,
        string_table: tables.texts,
        time_nanos: nanoseconds(since_epoch),
        duration_nanos: nanoseconds(profile.duration),
        period_type,
        period,
        comment,
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Whatever stands in the file once, and is named by its number elsewhere.
#[derive(Default)]
struct Tables<'a> {
    texts: Vec<String>,
    text_numbers: HashMap<String, i64>,
    functions: Vec<proto::Function>,
    function_numbers: HashMap<(&'a str, &'a str), u64>,
    locations: Vec<proto::Location>,
    location_numbers: HashMap<&'a Location, u64>,
}

impl<'a> Tables<'a> {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(&number) = self.text_numbers.get(text) {
            return number;
        }
        let number = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.texts.push(text.to_owned());
        self.text_numbers.insert(text.to_owned(), number);
        number
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> proto::ValueType {
        proto::ValueType { kind: self.text(kind), unit: self.text(unit) }
    }

    fn function(&mut self, line: &'a Line) -> u64 {
        let key = (line.function.as_str(), line.file.as_str());
        if let Some(&number) = self.function_numbers.get(&key) {
            return number;
        }
        // Numbers begin at 1: 0 is none.
        let id = self.functions.len() as u64 + 1;
        let (name, filename) = (self.text(&line.function), self.text(&line.file));
        self.functions.push(proto::Function { id, name, system_name: name, filename });
        self.function_numbers.insert(key, id);
        id
    }

    fn location(&mut self, location: &'a Location) -> u64 {
        if let Some(&number) = self.location_numbers.get(location) {
            return number;
        }
        let lines = location.lines.iter();
        let line =
            lines.map(|line| proto::Line { function_id: self.function(line), line: i64::from(line.line) }).collect();
        let id = self.locations.len() as u64 + 1;
        self.locations.push(proto::Location { id, address: location.address, line });
        self.location_numbers.insert(location, id);
        id
    }
}

/// One gzip member (RFC 1952).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    /// Magic, deflate, no flags, no time, no hint, an unknown system.
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    /// What zlib takes for a good compromise.
    const LEVEL: u8 = 6;
    let mut file = HEAD.to_vec();
    file.extend(miniz_oxide::deflate::compress_to_vec(bytes, LEVEL));
    file.extend(crc32fast::hash(bytes).to_le_bytes());
    // The length stands there modulo 2^32.
    file.extend((bytes.len() as u32).to_le_bytes());
    file
}

/// The part of `profile.proto` that is written.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(super) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(super) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub(super) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(super) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(super) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(super) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(super) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(super) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(super) period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub(super) comment: Vec<i64>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(super) kind: i64,
        #[prost(int64, tag = "2")]
        pub(super) unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(super) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(super) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) label: Vec<Label>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Label {
        #[prost(int64, tag = "1")]
        pub(super) key: i64,
        #[prost(int64, tag = "2")]
        pub(super) str: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Location {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(uint64, tag = "3")]
        pub(super) address: u64,
        #[prost(message, repeated, tag = "4")]
        pub(super) line: Vec<Line>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Line {
        #[prost(uint64, tag = "1")]
        pub(super) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(super) line: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Function {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(int64, tag = "2")]
        pub(super) name: i64,
        #[prost(int64, tag = "3")]
        pub(super) system_name: i64,
        #[prost(int64, tag = "4")]
        pub(super) filename: i64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::Sample;

    fn location(address: u64, functions: &[&str]) -> Location {
        let line = |name: &&str| Line { function: (*name).to_owned(), file: "a.rs".to_owned(), line: 3 };
        Location { address, lines: functions.iter().map(line).collect() }
    }

    fn profile() -> Profile {
        let (main, inlined) = (location(1, &["main"]), location(2, &["inner", "outer"]));
        let sample = |stack: &[&Location], count| Sample {
            thread: "t".to_owned(),
            stack: stack.iter().copied().cloned().collect(),
            count,
        };
        Profile {
            began: UNIX_EPOCH + Duration::from_secs(9),
            duration: Duration::from_secs(2),
            period: Duration::from_millis(10),
            samples: vec![sample(&[&inlined, &main], 3), sample(&[&main], 1)],
            lost: 4,
        }
    }

    #[test]
    fn what_is_written_can_be_read_again_and_each_thing_stands_there_once() {
        let file = encode(&profile());
        let (head, rest) = file.split_at(10);
        let (body, tail) = rest.split_at(rest.len() - 8);
        assert_eq!(head[..3], [0x1f, 0x8b, 8]);
        let bytes = miniz_oxide::inflate::decompress_to_vec(body).unwrap();
        assert_eq!(tail, [crc32fast::hash(&bytes).to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat());
        let message = proto::Profile::decode(&*bytes).unwrap();

        let text = |number: i64| message.string_table[number as usize].as_str();
        assert_eq!(text(0), "");
        let types: Vec<_> = message.sample_type.iter().map(|kind| (text(kind.kind), text(kind.unit))).collect();
        assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
        let values: Vec<_> = message.sample.iter().map(|sample| sample.value.clone()).collect();
        assert_eq!(values, [[3, 30_000_000], [1, 10_000_000]]);
        let function = |id: u64| text(message.function[id as usize - 1].name);
        let names = |id: &u64| -> Vec<_> {
            message.location[*id as usize - 1].line.iter().map(|line| function(line.function_id)).collect()
        };
        let stack: Vec<_> = message.sample[0].location_id.iter().flat_map(names).collect();
        assert_eq!(stack, ["inner", "outer", "main"]);
        assert_eq!((message.location.len(), message.function.len()), (2, 3));
        assert_eq!(
            (message.time_nanos, message.duration_nanos, message.period),
            (9_000_000_000, 2_000_000_000, 10_000_000)
        );
        assert_eq!(text(message.comment[0]), "4 samples found no room");
        assert_eq!(text(message.sample[0].label[0].str), "t");
    }

    #[test]
    fn a_profile_of_nothing_is_a_file_too() {
        let nothing = Profile { samples: Vec::new(), lost: 0, began: SystemTime::now(), ..profile() };
        assert!(encode(&nothing).len() > 18);
    }
}
