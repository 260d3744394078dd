//! The ports of a server that gateways link to.

use std::net::SocketAddr;

use pintail_core::{Endpoint, Incarnation, Kind};
use pintail_store::Announcement;

use crate::address;
use crate::admin::Admin;
use crate::config::{RoleError, ServerConfig};
use crate::links::LinkListener;

/// The open ports of a lobby or game server.
#[derive(Debug)]
pub struct ServerPorts {
    /// Where gateways come in.
    pub links: LinkListener,
    /// What the registry is told.
    pub endpoint: Endpoint,
    /// The admin port, if there is one.
    pub admin: Option<Admin>,
}

impl ServerPorts {
    /// Listens as the settings say.
    ///
    /// # Errors
    /// If a port can't be had, or there is no address to tell the others.
    pub async fn bind(config: &ServerConfig) -> Result<Self, RoleError> {
        let links = LinkListener::bind(config.listen).await?;
        let endpoint = address::advertised(links.local_addr(), config.advertise)?;
        let admin = match config.admin {
            Some(address) => Some(Admin::bind(address, config.admin_token.clone()).await?),
            None => None,
        };
        Ok(Self { links, endpoint, admin })
    }

    /// Where the admin port listens, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|admin| admin.local_addr().ok())
    }

    /// What a server with these ports says of itself when it registers, as a new incarnation without game types.
    #[must_use]
    pub fn announcement(&self, kind: Kind, capacity: u32, version: &str) -> Announcement {
        Announcement {
            kind,
            endpoint: self.endpoint,
            incarnation: Incarnation::random(),
            capacity,
            game_types: Vec::new(),
            version: version.to_owned(),
            admin_port: self.admin_addr().map(|address| address.port()),
            http_port: None,
        }
    }
}
