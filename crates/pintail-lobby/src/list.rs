//! Lists of rooms.

use pintail_core::GameType;
use pintail_core::limits::ROOM_PAGE_MAX;
use pintail_engine::room::{LABEL_PUBLIC, Room, RoomError, Visibility, label_open};
use pintail_wire::client::{ListRooms, RoomPage};
use tracing::warn;

use crate::change::Snapshot;
use crate::convert;
use crate::lobby::Lobby;
use crate::refusal::Refusal;

/// How many rooms a page has if the client does not say.
const LIMIT_DEFAULT: u32 = 20;

/// How many reads of the store one page may cost. A filter that few rooms pass gives short pages instead of slow ones.
const READS_MAX: u32 = 5;

/// The longest `page` that a client may send back; ours are shorter.
const PAGE_BYTES_MAX: usize = 128;

/// Which rooms are wanted.
struct Filter {
    game: Option<GameType>,
    open_only: bool,
    /// In lower case.
    name_contains: String,
}

impl Filter {
    fn takes(&self, room: &Room) -> bool {
        room.visibility() == Visibility::Public
            && self.game.as_ref().is_none_or(|game| room.choice().game == *game)
            && (!self.open_only || room.is_open())
            && room.name().as_str().to_lowercase().contains(&self.name_contains)
    }

    /// The shortest list that has all of them.
    fn label(&self) -> String {
        match &self.game {
            Some(game) if self.open_only => label_open(game),
            _ => LABEL_PUBLIC.to_owned(),
        }
    }
}

impl Lobby {
    /// One page of public rooms, newest first.
    pub(crate) async fn list(&self, list: &ListRooms) -> Result<RoomPage, Refusal> {
        let filter = self.filter(list)?;
        if list.page.len() > PAGE_BYTES_MAX {
            return Err(Refusal::Malformed("`page` is none that a list gave".to_owned()));
        }
        let label = filter.label();
        let limit = if list.limit == 0 { LIMIT_DEFAULT } else { list.limit.min(ROOM_PAGE_MAX) } as usize;
        let mut page = (!list.page.is_empty()).then(|| list.page.clone());
        let mut rooms = Vec::new();
        for _ in 0..READS_MAX {
            // Never more than still fit: the next page starts where the last read ended.
            let missing = u32::try_from(limit - rooms.len()).unwrap_or(ROOM_PAGE_MAX);
            let read = self.store.rooms_labelled(&label, page.as_deref(), missing).await?;
            for document in &read.rooms {
                match Snapshot::read(document) {
                    Ok(snapshot) if filter.takes(&snapshot.room) => rooms.push(convert::summary(&snapshot.room)),
                    Ok(_) => {}
                    Err(error) => warn!(room = %document.id, %error, "left out of a list"),
                }
            }
            page = read.next;
            if rooms.len() >= limit || page.is_none() {
                break;
            }
        }
        Ok(RoomPage { rooms, next_page: page.unwrap_or_default() })
    }

    fn filter(&self, list: &ListRooms) -> Result<Filter, Refusal> {
        let game = match list.game.as_str() {
            "" => None,
            game => {
                let known = self.catalog.iter().find(|info| info.name.as_str() == game);
                Some(known.ok_or_else(|| RoomError::unknown_game(&self.catalog))?.name.clone())
            }
        };
        Ok(Filter { game, open_only: list.open_only, name_contains: list.name_contains.trim().to_lowercase() })
    }
}
