//! Numbers that take as many bytes as they need: seven bits a byte, the lowest first (LEB128).

/// The most bytes of a number: 64 bits, seven at a time.
const BYTES_MAX: u32 = 10;

/// Appends a number.
pub(super) fn put(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

/// Takes the number that the bytes begin with. `None` if they end too early, or it has more than 64 bits.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for index in 0..BYTES_MAX {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        // The last byte holds the one bit that is left.
        if index == BYTES_MAX - 1 && byte > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_take_what_they_need() {
        for (value, length) in [(0, 1), (127, 1), (128, 2), (300, 2), (u64::from(u32::MAX), 5), (u64::MAX, 10)] {
            let mut buffer = Vec::new();
            put(&mut buffer, value);
            assert_eq!(buffer.len(), length, "{value}");
            let mut bytes = &buffer[..];
            assert_eq!(take(&mut bytes), Some(value));
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn a_number_that_is_cut_off_or_too_long_is_none() {
        for wrong in [&[][..], &[0x80], &[0xff; 9], &[0xff; 10], &[0x80; 11]] {
            assert_eq!(take(&mut &*wrong), None, "{wrong:?}");
        }
    }
}
