//! How a game's inputs and outputs stand in bytes.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Bytes that are no input of this game. The message goes back to the client that sent them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the game can't read this input: {0}")]
pub struct BadPayload(pub String);

/// A message as bytes. Implemented by [`Json`], [`Postcard`] and [`Bytes`] itself.
pub trait Payload: Sized {
    /// Reads a message.
    ///
    /// # Errors
    /// If the bytes are none. They come from a client, so anything can be in them.
    fn decode(bytes: &Bytes) -> Result<Self, BadPayload>;

    /// Writes the message.
    ///
    /// # Panics
    /// If the format can't express it (JSON knows no maps with compound keys). That ends the game as crashed.
    fn encode(&self) -> Bytes;
}

/// A message as JSON: readable, and easy for clients in any language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T> From<T> for Json<T> {
    fn from(message: T) -> Self {
        Self(message)
    }
}

impl<T: Serialize + DeserializeOwned> Payload for Json<T> {
    fn decode(bytes: &Bytes) -> Result<Self, BadPayload> {
        serde_json::from_slice(bytes).map(Self).map_err(|error| BadPayload(error.to_string()))
    }

    fn encode(&self) -> Bytes {
        serde_json::to_vec(&self.0).expect("a game's JSON messages have string keys").into()
    }
}

/// A message in postcard's format: small and fast. Both sides must be built from the same type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postcard<T>(pub T);

impl<T> From<T> for Postcard<T> {
    fn from(message: T) -> Self {
        Self(message)
    }
}

impl<T: Serialize + DeserializeOwned> Payload for Postcard<T> {
    fn decode(bytes: &Bytes) -> Result<Self, BadPayload> {
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(Self(message)),
            Ok(_) => Err(BadPayload("bytes follow where it should end".to_owned())),
            Err(error) => Err(BadPayload(error.to_string())),
        }
    }

    fn encode(&self) -> Bytes {
        postcard::to_stdvec(&self.0).expect("a game's messages have known lengths").into()
    }
}

impl Payload for Bytes {
    fn decode(bytes: &Bytes) -> Result<Self, BadPayload> {
        Ok(bytes.clone())
    }

    fn encode(&self) -> Bytes {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let message = (7_u8, "seven".to_owned());
        assert_eq!(Json::decode(&Json(message.clone()).encode()), Ok(Json(message.clone())));
        assert_eq!(Postcard::decode(&Postcard(message.clone()).encode()), Ok(Postcard(message)));
        assert_eq!(<Bytes as Payload>::decode(&Bytes::from("raw")), Ok(Bytes::from("raw")));
    }

    #[test]
    fn rubbish_is_told_apart_from_a_message() {
        assert!(Json::<u8>::decode(&Bytes::from("seven")).is_err());
        assert!(Postcard::<u8>::decode(&Bytes::new()).is_err());
        assert!(Postcard::<u8>::decode(&Bytes::from(vec![1, 2])).is_err(), "what follows a message was not read");
    }
}
