//! How this program was started, so that examples can be pasted.

use std::path::Path;

use pintail_client::Address;

use crate::config::play::DEFAULT_GATEWAY;

/// What to type to play this game through these gateways.
pub(crate) fn to_play(game: &str, gateways: &[Address]) -> String {
    let is_default = matches!(gateways, [gateway] if DEFAULT_GATEWAY.parse().as_ref() == Ok(gateway));
    let gateways: Vec<_> = gateways.iter().map(ToString::to_string).collect();
    let option = if is_default { String::new() } else { format!(" --gateway {}", gateways.join(",")) };
    format!("{} play {game}{option}", invocation())
}

/// What to type to start this program again: its name if it was found by it, else its path.
fn invocation() -> String {
    let name = std::env::args().next().unwrap_or_default();
    if !name.is_empty() && !name.contains('/') {
        return name;
    }
    std::env::current_exe().map_or(name, |path| quoted(&path))
}

fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = path.chars().all(|character| character.is_alphanumeric() || "/._-+".contains(character));
    if is_plain { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_named_only_if_it_must_be() {
        let to_play = |gateways: &str| {
            let gateways: Vec<_> = gateways.split(',').map(|gateway| gateway.parse().unwrap()).collect();
            super::to_play("echo", &gateways)
        };
        assert!(to_play("127.0.0.1:5555").ends_with(" play echo"));
        assert!(to_play("127.0.0.1:7000").ends_with(" play echo --gateway tcp://127.0.0.1:7000"));
        assert!(to_play("127.0.0.1:5555,h:7").ends_with(" --gateway tcp://127.0.0.1:5555,tcp://h:7"));
        assert!(to_play("ws://127.0.0.1:8080/ws").ends_with(" --gateway ws://127.0.0.1:8080/ws"));
    }

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("/usr/bin/pintail")), "/usr/bin/pintail");
        assert_eq!(quoted(Path::new("/my games/it's")), r"'/my games/it'\''s'");
    }
}
