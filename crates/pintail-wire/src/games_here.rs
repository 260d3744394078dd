//! The body of a [`GAMES_HERE`](crate::kind::link::GAMES_HERE): the ids of games (12 bytes each) that the server has taken
//! over. A hint: whoever waits for one of them need not ask the store where it is.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pintail_core::GameId;

use crate::Malformed;

/// The most games that one frame names.
pub const GAMES_HERE_MAX: usize = 1024;

/// The body that names these games, at most [`GAMES_HERE_MAX`].
#[must_use]
pub fn encode(games: &[GameId]) -> Bytes {
    let mut body = BytesMut::with_capacity(games.len() * GameId::WIRE_LEN);
    games.iter().take(GAMES_HERE_MAX).for_each(|game| body.put_slice(&game.to_bytes()));
    body.freeze()
}

/// The games that a body names.
///
/// # Errors
/// If it is none, or names too many.
pub fn decode(mut body: Bytes) -> Result<Vec<GameId>, Malformed> {
    if !body.len().is_multiple_of(GameId::WIRE_LEN) || body.len() > GAMES_HERE_MAX * GameId::WIRE_LEN {
        return Err(Malformed(format!("a list of games of {} bytes", body.len())));
    }
    let mut games = Vec::with_capacity(body.len() / GameId::WIRE_LEN);
    while body.has_remaining() {
        let mut id = [0; GameId::WIRE_LEN];
        body.copy_to_slice(&mut id);
        games.push(GameId::from_bytes(id));
    }
    Ok(games)
}

#[cfg(test)]
mod tests {
    use pintail_core::{RoomId, Round};

    use super::*;

    #[test]
    fn games_come_out_as_they_went_in() {
        let games: Vec<_> = (0..3).map(|room| GameId { room: RoomId(room), round: Round(7) }).collect();
        assert_eq!(decode(encode(&games)), Ok(games.clone()));
        assert_eq!(decode(Bytes::new()), Ok(Vec::new()));
        assert!(decode(Bytes::from(vec![0; 13])).is_err());
        assert!(decode(Bytes::from(vec![0; 12 * (GAMES_HERE_MAX + 1)])).is_err());
    }
}
