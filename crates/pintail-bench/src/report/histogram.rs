//! A measure's distribution in HdrHistogram's V2 format, so that other programs can read it too.
//!
//! The format is the one of the HdrHistogram project (`AbstractHistogram.encodeIntoByteBuffer` in its Java version): a
//! header of 40 bytes, then the count of each bucket as a zigzag LEB128 number, where a negative one is a run of two or more
//! empty buckets; a single one is a count of 0. It is not compressed here: a sparse histogram has some hundred bytes, and a file is compressed as a whole.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;

use super::Measure;

/// The format's mark: V2, with numbers of a variable length.
const COOKIE: u32 = 0x1c84_9303 | 0x10;

/// Mark, length, offset, digits, lowest, highest, ratio.
const HEADER_BYTES: usize = 40;

/// The longest time that a histogram can be made for, in microseconds: 12 days. A larger one was made to cost memory.
const HIGHEST_MAX: u64 = 1 << 40;

/// How long a number can be.
const NUMBER_BYTES_MAX: usize = 9;

/// Why a histogram can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// It isn't Base64.
    #[error("its histogram is not Base64")]
    NoBase64,
    /// It isn't in the V2 format.
    #[error("its histogram is not in HdrHistogram's V2 format")]
    OtherFormat,
    /// It ends too early, or has numbers that can't be.
    #[error("its histogram is cut short or damaged")]
    Damaged,
}

impl Measure {
    /// What was measured, in microseconds, where nothing was lost.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            lost: 0,
            mean: histogram.mean(),
            min: histogram.min(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
            histogram: encode(histogram),
        }
    }

    /// The whole distribution.
    ///
    /// # Errors
    /// If it isn't one.
    pub fn to_histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        decode(&self.histogram)
    }
}

fn encode(histogram: &Histogram<u64>) -> String {
    let counts = counts(histogram);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + counts.len());
    bytes.extend(COOKIE.to_be_bytes());
    bytes.extend(u32::try_from(counts.len()).expect("a histogram has fewer than 2^17 buckets").to_be_bytes());
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(u32::from(histogram.sigfig()).to_be_bytes());
    bytes.extend(histogram.low().to_be_bytes());
    bytes.extend(histogram.high().to_be_bytes());
    bytes.extend(1_f64.to_be_bytes());
    bytes.extend(counts);
    STANDARD.encode(bytes)
}

fn counts(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut empty = 0_i64;
    if histogram.is_empty() {
        return bytes;
    }
    // Every bucket from the first to that of the largest value, in their order.
    for bucket in histogram.iter_all() {
        let count = i64::try_from(bucket.count_at_value()).unwrap_or(i64::MAX);
        if count == 0 {
            empty += 1;
            continue;
        }
        match std::mem::take(&mut empty) {
            0 => {}
            1 => push_number(&mut bytes, 0),
            run => push_number(&mut bytes, -run),
        }
        push_number(&mut bytes, count);
        if bucket.value_iterated_to() >= histogram.max() {
            break;
        }
    }
    bytes
}

fn decode(text: &str) -> Result<Histogram<u64>, HistogramError> {
    let bytes = STANDARD.decode(text).map_err(|_| HistogramError::NoBase64)?;
    let (header, numbers) = bytes.split_at_checked(HEADER_BYTES).ok_or(HistogramError::OtherFormat)?;
    let u32_at = |at: usize| header[at..at + 4].iter().fold(0_u32, |number, &byte| number << 8 | u32::from(byte));
    let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
    if u32_at(0) != COOKIE {
        return Err(HistogramError::OtherFormat);
    }
    let (digits, lowest, highest) = (u32_at(12), u64_at(16), u64_at(24));
    if u32_at(4) as usize != numbers.len() || !(1..=5).contains(&digits) || highest > HIGHEST_MAX {
        return Err(HistogramError::Damaged);
    }
    let digits = u8::try_from(digits).map_err(|_| HistogramError::Damaged)?;
    let mut histogram = Histogram::new_with_bounds(lowest, highest, digits).map_err(|_| HistogramError::Damaged)?;
    record(&mut histogram, numbers)?;
    Ok(histogram)
}

fn record(histogram: &mut Histogram<u64>, mut numbers: &[u8]) -> Result<(), HistogramError> {
    let mut value = 0_u64;
    let mut buckets_left = histogram.distinct_values() as u64;
    while !numbers.is_empty() {
        let number = take_number(&mut numbers).ok_or(HistogramError::Damaged)?;
        let buckets = if number >= 0 { 1 } else { number.unsigned_abs() };
        buckets_left = buckets_left.checked_sub(buckets).ok_or(HistogramError::Damaged)?;
        if number > 0 {
            histogram.record_n(value, number.unsigned_abs()).map_err(|_| HistogramError::Damaged)?;
        }
        for _ in 0..buckets {
            value = histogram.next_non_equivalent(value);
        }
    }
    Ok(())
}

/// Appends a number as zigzag LEB128. Its ninth byte has eight bits of the number: it is the last.
fn push_number(bytes: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    for _ in 1..NUMBER_BYTES_MAX {
        if left < 0x80 {
            break;
        }
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

/// Takes a number from the front; `None` if there is none.
fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for index in 0..NUMBER_BYTES_MAX {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let is_last = index == NUMBER_BYTES_MAX - 1;
        let bits = if is_last { byte } else { byte & 0x7f };
        number |= u64::from(bits) << (7 * index);
        if is_last || byte < 0x80 {
            break;
        }
    }
    Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(values: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).expect("sound bounds");
        for &value in values {
            histogram.saturating_record(value);
        }
        histogram
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_distribution_is_read_as_it_was_written(values in prop::collection::vec(0_u64..60_000_000, 0..300)) {
            let written = histogram(&values);
            let measure = Measure::of(&written);
            prop_assert_eq!(measure.to_histogram().expect("as written"), written);
        }

        #[test]
        fn what_was_damaged_is_refused_or_read_but_never_harms(
            at in 0_usize..200, byte: u8, values in prop::collection::vec(0_u64..60_000_000, 1..50)
        ) {
            let mut bytes = STANDARD.decode(encode(&histogram(&values))).expect("as written");
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&STANDARD.encode(bytes));
        }

        #[test]
        fn a_number_is_read_as_it_was_written(number: i64) {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            prop_assert!(bytes.len() <= NUMBER_BYTES_MAX);
            prop_assert_eq!(take_number(&mut bytes.as_slice()), Some(number));
        }
    }

    #[test]
    fn what_is_written_stays_what_other_programs_can_read() {
        // One value of 3 µs: three empty buckets (zigzag 5), then a count of 1 (zigzag 2).
        let bytes = STANDARD.decode(encode(&histogram(&[3]))).expect("as written");
        assert_eq!(bytes[..8], [0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 2]);
        assert_eq!(bytes[HEADER_BYTES..], [5, 2]);
        assert_eq!(bytes[32..40], 1_f64.to_be_bytes());
        // One bucket that is empty between others is a count of 0: HdrHistogram writes runs of two and more as such.
        let bytes = STANDARD.decode(encode(&histogram(&[3, 5, 8]))).expect("as written");
        assert_eq!(bytes[HEADER_BYTES..], [5, 2, 0, 2, 3, 2]);
    }

    #[test]
    fn a_bucket_that_is_empty_is_passed_over_however_it_is_written() {
        let written = STANDARD.decode(encode(&histogram(&[3, 5, 8]))).expect("as written");
        let (header, _) = written.split_at(HEADER_BYTES);
        // As HdrHistogram writes it, and with each run as a negative number, as versions of Pintail did.
        for numbers in [[5, 2, 0, 2, 3, 2], [5, 2, 1, 2, 3, 2]] {
            let read = decode(&STANDARD.encode([header, &numbers].concat())).expect("sound");
            assert_eq!(read, histogram(&[3, 5, 8]), "{numbers:?}");
        }
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        assert_eq!(decode("*"), Err(HistogramError::NoBase64));
        assert_eq!(decode(""), Err(HistogramError::OtherFormat));
        assert_eq!(decode(&STANDARD.encode([0; 40])), Err(HistogramError::OtherFormat));
        let mut bytes = STANDARD.decode(encode(&histogram(&[3, 900]))).expect("as written");
        bytes.pop();
        assert_eq!(decode(&STANDARD.encode(bytes)), Err(HistogramError::Damaged));
    }
}
