//! The body of a [`HEARTBEAT`](crate::kind::link::HEARTBEAT): the gateway's clock in nanoseconds (u64), then whether it
//! reaches the store (u8: 0 if it does, else 1). The server sends it back as it came.

use crate::Malformed;

/// Whether a gateway reaches the store. A game server that does not asks its gateways, to know whether it is alone with that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreSight {
    /// It holds its own lease.
    #[default]
    Reached,
    /// Its own lease may have run out.
    Away,
}

/// What a heartbeat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// The gateway's own clock, in nanoseconds.
    pub clock: u64,
    /// Whether it reaches the store.
    pub store: StoreSight,
}

impl Heartbeat {
    /// How many bytes it takes.
    pub const LEN: usize = 9;

    /// The heartbeat's body.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.clock.to_be_bytes());
        bytes[8] = u8::from(self.store == StoreSight::Away);
        bytes
    }

    /// Reads a heartbeat's body.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let [clock @ .., store] = body else { return Err(Malformed("an empty heartbeat".to_owned())) };
        let clock = clock.try_into().map_err(|_| Malformed(format!("a heartbeat of {} bytes", body.len())))?;
        let store = if *store == 0 { StoreSight::Reached } else { StoreSight::Away };
        Ok(Self { clock: u64::from_be_bytes(clock), store })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_comes_back_as_it_went() {
        for store in [StoreSight::Reached, StoreSight::Away] {
            let heartbeat = Heartbeat { clock: 0x0102_0304_0506_0708, store };
            assert_eq!(Heartbeat::decode(&heartbeat.to_bytes()), Ok(heartbeat));
        }
        for rubbish in [&[][..], &[0; 8], &[0; 10]] {
            assert!(Heartbeat::decode(rubbish).is_err());
        }
    }
}
