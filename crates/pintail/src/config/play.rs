//! The settings of `pintail play`.

use std::path::PathBuf;

use clap::Args;

use super::args::CommonArgs;

/// Where `pintail play` looks for a gateway.
pub(crate) const DEFAULT_GATEWAY: &str = "127.0.0.1:5555";

/// `pintail play`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pintail play gomoku                         against whoever comes next
  pintail play gomoku --private               in a room of your own; it shows the code that friends join with
  pintail play gomoku --invite 7K3-Q9F        in a friend's room
  pintail play gomoku --gateway 10.0.0.7,10.0.0.8    through either: when one gateway dies, through the other
  pintail play my-game                        any game: its messages as JSON, one a line")]
pub(crate) struct PlayArgs {
    /// Which game, such as gomoku, arena or echo
    #[arg(value_name = "GAME")]
    pub(crate) game: String,

    /// The gateway to connect to: host:port, tls://host:port, ws://host:port/ws or wss://host:port/ws
    ///
    /// Several, each with its own --gateway or with commas between them, are tried one after another: when one dies, the
    /// game goes on through the next.
    #[arg(long, value_name = "ADDR", env = "PINTAIL_GATEWAY", default_value = DEFAULT_GATEWAY, value_delimiter = ',')]
    pub(crate) gateway: Vec<pintail_client::Address>,

    /// Whom to trust at addresses with TLS (tls://, wss://): the certificates of the authorities in this file (PEM)
    ///
    /// [default: those that the system trusts]
    #[arg(long, value_name = "FILE", env = "PINTAIL_CA")]
    pub(crate) ca: Option<PathBuf>,

    /// What you are called
    ///
    /// [default: the name of your account, or `player`]
    #[arg(long, value_name = "NAME", env = "PINTAIL_NAME")]
    pub(crate) name: Option<String>,

    /// Join the room of this id, as `rooms` lists it
    #[arg(long, value_name = "ID", env = "PINTAIL_ROOM", conflicts_with_all = ["invite", "private"])]
    pub(crate) room: Option<pintail_core::RoomId>,

    /// Join the room of this invite code
    #[arg(long, value_name = "CODE", env = "PINTAIL_INVITE", conflicts_with = "private")]
    pub(crate) invite: Option<String>,

    /// Make a room that only those with its code can join
    #[arg(long)]
    pub(crate) private: bool,

    /// The game's settings as JSON, for a new room or to look for one with the same
    /// [default: the game's own]
    #[arg(long, value_name = "JSON", env = "PINTAIL_SETTINGS", default_value = "", hide_default_value = true)]
    pub(crate) settings: String,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}
