//! Refuses environment variables that look like settings and are none.

use std::ffi::OsString;

use clap::Command;
use thiserror::Error;

use super::similar;

/// What the variables of all settings begin with.
const PREFIX: &str = "PINTAIL_";

/// A variable that looks like a setting and is none.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "the environment variable {name} is no setting{}: correct or unset it (`--help` names the variable of each setting)",
    .meant.as_ref().map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default()
)]
pub(crate) struct UnknownVariable {
    name: String,
    meant: Option<String>,
}

/// Checks that every `PINTAIL_…` variable is a setting of some command.
///
/// # Errors
/// With the first that is none.
pub(crate) fn check(
    program: &Command,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(), UnknownVariable> {
    let known = || {
        let arguments = program.get_subcommands().flat_map(Command::get_arguments);
        arguments.filter_map(|argument| argument.get_env()?.to_str())
    };
    for (name, value) in variables {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if name.starts_with(PREFIX) && !known().any(|variable| variable == name) && !is_service_link(&name, &value) {
            let meant = similar(&name, known()).map(str::to_owned);
            return Err(UnknownVariable { name: name.into_owned(), meant });
        }
    }
    Ok(())
}

/// Whether Kubernetes set this variable because there is a service called `pintail` or `pintail-…`; it does so in every
/// container of the namespace.
fn is_service_link(name: &str, value: &str) -> bool {
    let names_service = name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    let names_port = name.contains("_PORT");
    names_service || (names_port && ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme))) || {
        let (_, port) = name.rsplit_once("_PORT_").unwrap_or_default();
        ["_TCP_ADDR", "_TCP_PORT", "_TCP_PROTO", "_UDP_ADDR", "_UDP_PORT", "_UDP_PROTO"]
            .iter()
            .filter_map(|end| port.strip_suffix(end))
            .any(|number| number.parse::<u16>().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::program;

    fn check_one(name: &str, value: &str) -> Result<(), UnknownVariable> {
        check(&program(), std::iter::once((name.into(), value.into())))
    }

    #[test]
    fn a_misspelt_variable_is_refused_with_a_hint() {
        let refusal = check_one("PINTAIL_CAPCITY", "7").unwrap_err().to_string();
        assert!(refusal.contains("PINTAIL_CAPCITY is no setting (did you mean PINTAIL_CAPACITY?)"), "{refusal}");
        let refusal = check_one("PINTAIL_THIS_IS_NONE", "").unwrap_err().to_string();
        assert!(refusal.contains("PINTAIL_THIS_IS_NONE is no setting:"), "{refusal}");
        assert!(check_one("PINTAIL_PORT", "7000").is_err());
    }

    #[test]
    fn settings_and_what_is_not_ours_pass() {
        for name in ["PINTAIL_CAPACITY", "PINTAIL_REDIS", "PINTAIL_GATEWAYS", "HOME", "XPINTAIL_X"] {
            assert_eq!(check_one(name, "1"), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_passes() {
        for (name, value) in [
            ("PINTAIL_SERVICE_HOST", "10.0.0.1"),
            ("PINTAIL_GATEWAY_SERVICE_PORT_CLIENTS", "5555"),
            ("PINTAIL_PORT", "tcp://10.0.0.1:5555"),
            ("PINTAIL_GATEWAY_PORT_5555_TCP", "tcp://10.0.0.1:5555"),
            ("PINTAIL_GATEWAY_PORT_5555_TCP_ADDR", "10.0.0.1"),
            ("PINTAIL_GATEWAY_PORT_5555_TCP_PROTO", "tcp"),
        ] {
            assert_eq!(check_one(name, value), Ok(()), "{name}");
        }
    }
}
