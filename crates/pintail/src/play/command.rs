//! What can be typed outside of a game's own moves.

use pintail_client::RoomId;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Says whether one is ready.
    Ready(bool),
    /// Starts the game.
    Start,
    /// Says something to the room.
    Chat(String),
    /// Leaves the room.
    Leave,
    /// Lists the rooms.
    Rooms,
    /// Enters a room that others are in.
    Join(Target),
    /// Finds a room, or makes one.
    Play,
    /// Lists the commands.
    Help,
    /// Ends the program.
    Quit,
}

/// Which room to enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The one of this id.
    Room(RoomId),
    /// The one of this invite code.
    Invite(String),
}

/// What `help` shows.
pub(crate) const HELP: &[&str] = &[
    "ready, unready   say whether the game may start",
    "start            start the game (the room's owner)",
    "chat TEXT        say something to everyone in the room (also: say TEXT)",
    "leave            leave the room, and with it the game",
    "play             find a room with a free place, or make one",
    "rooms            list the public rooms",
    "join ID|CODE     enter a room by its id or invite code",
    "quit             end the program",
];

/// The command that a line is, if it is one; the error is a sentence for the player.
pub(crate) fn parse(line: &str) -> Option<Result<Command, String>> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let command = match word.to_ascii_lowercase().as_str() {
        "ready" => Command::Ready(true),
        "unready" => Command::Ready(false),
        "start" => Command::Start,
        "leave" => Command::Leave,
        "rooms" => Command::Rooms,
        "play" => Command::Play,
        "help" | "?" => Command::Help,
        "quit" | "exit" => Command::Quit,
        "chat" | "say" if rest.is_empty() => return Some(Err("type what to say behind it: chat hello".to_owned())),
        "chat" | "say" => return Some(Ok(Command::Chat(rest.to_owned()))),
        "join" if rest.is_empty() => return Some(Err("type the room's id or invite code behind it".to_owned())),
        "join" => return Some(Ok(Command::Join(target(rest)))),
        _ => return None,
    };
    Some(if rest.is_empty() { Ok(command) } else { Err(format!("`{word}` stands alone; `help` lists the commands")) })
}

/// An id has 16 hexadecimal digits, an invite code is shorter.
fn target(text: &str) -> Target {
    text.parse().map_or_else(|_| Target::Invite(text.to_owned()), Target::Room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_and_everything_else_is_left_to_the_game() {
        assert_eq!(parse("ready"), Some(Ok(Command::Ready(true))));
        assert_eq!(parse(" QUIT "), Some(Ok(Command::Quit)));
        assert_eq!(parse("say  hello there "), Some(Ok(Command::Chat("hello there".to_owned()))));
        assert_eq!(
            parse("join 0123456789abcdef"),
            Some(Ok(Command::Join(Target::Room(RoomId(0x0123_4567_89ab_cdef)))))
        );
        assert_eq!(parse("join 7K3Q"), Some(Ok(Command::Join(Target::Invite("7K3Q".to_owned())))));
        for line in ["h8", "w", "", "resign", "{\"a\": 1}"] {
            assert_eq!(parse(line), None, "{line}");
        }
        for line in ["chat", "join", "start now"] {
            assert!(matches!(parse(line), Some(Err(_))), "{line}");
        }
    }

    #[test]
    fn every_command_is_in_the_help() {
        for word in ["ready", "unready", "start", "chat", "say", "leave", "rooms", "join", "play", "quit"] {
            assert!(HELP.iter().any(|line| line.contains(word)), "{word}");
        }
    }
}
