//! The Rust client library: connect, log in, lobby calls, game messages, reconnect with resume.
//!
//! A [`Client`] is one session on a Pintail cluster. It holds one connection to a gateway, by TCP or WebSocket, with TLS or without, and opens
//! the next one by itself when that is lost: lobby calls that were not answered are sent again, and the stream to the
//! game goes on where it was. Whatever happens to gateways, game servers and networks, each input reaches the game exactly
//! once and in order, and so does each reliable message the client.
//!
//! ```no_run
//! use pintail_client::{Client, ClientConfig, Event};
//!
//! # async fn play() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = "ws://127.0.0.1:8080/ws".parse()?;
//! let (client, mut events) = Client::connect(ClientConfig::new([gateway], "Ada")).await?;
//! client.quick_match("echo", "").await?;
//! client.set_ready(true).await?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::GameAttached { .. } => client.send("hello").await?,
//!         Event::GameMessage { payload, .. } => println!("the game says {payload:?}"),
//!         Event::GameEnded { result, .. } => {
//!             println!("it is over: {result}");
//!             break;
//!         }
//!         Event::Ended(why) => return Err(why.into()),
//!         _ => {}
//!     }
//! }
//! client.logout().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | `client` | the handle: lobby calls, inputs |
//! | `machine` | decides everything, without IO |
//! | `driver` | the task that does what the machine decides |
//! | `transport` | frames over TCP or a WebSocket, with TLS or without |
//! | `queue` | the events that wait for the application |

mod client;
mod config;
mod driver;
mod error;
mod event;
#[doc(hidden)]
pub mod machine;
mod queue;
mod transport;

pub use client::{Client, InputCount};
pub use config::ClientConfig;
pub use error::{CallError, Disconnect, Ended, SendError};
pub use event::{Event, PauseReason};
pub use pintail_core::{GameId, ResumeToken, RoomId, Round, SessionId, Step};
/// Where a gateway listens.
pub use pintail_core::{GatewayAddress as Address, GatewayAddressError as AddressError};
pub use pintail_engine::backoff::BackoffPolicy;
pub use pintail_tls::{TlsError, Trust};
pub use pintail_wire::client::{
    ChatMessage, CreateRoom, ErrorCode, GameDetachReason, GameEndReason, GameOutcome, GoodbyeReason, ListRooms, Member,
    Room, RoomLeftReason, RoomPage, RoomState, RoomSummary,
};
pub use queue::Events;
