//! What the workspace depends on: licences, sources, duplicates, and the direction between its own crates.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Licences that ask for nothing but their notice.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages of which two versions are built, because others do not agree on one. Remove a line when it no longer holds.
const DUPLICATES: &[&str] =
    &["base64", "bit-vec", "embedded-io", "getrandom", "hashbrown", "itertools", "syn", "synstructure"];

/// The crates that a crate of the workspace may use, tests apart. Roles never use each other: they meet in wire messages.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("pintail-core", &[]),
    ("pintail-wire", &["pintail-core"]),
    ("pintail-engine", &["pintail-core", "pintail-wire"]),
    ("pintail-tls", &[]),
    ("pintail-store", &["pintail-core", "pintail-tls"]),
    ("pintail-profile", &[]),
    (
        "pintail-net",
        &["pintail-core", "pintail-tls", "pintail-wire", "pintail-engine", "pintail-store", "pintail-profile"],
    ),
    ("pintail-gateway", ROLE),
    ("pintail-lobby", ROLE),
    ("pintail-game", ROLE),
    ("pintail-client", &["pintail-core", "pintail-tls", "pintail-wire", "pintail-engine"]),
    // It meets the servers over the wire, as players do; its bots speak the messages of the games that they play.
    ("pintail-bench", &["pintail-core", "pintail-tls", "pintail-wire", "pintail-net", "pintail-arena", "pintail-echo"]),
];

const ROLE: &[&str] =
    &["pintail-core", "pintail-tls", "pintail-wire", "pintail-engine", "pintail-store", "pintail-net"];

/// The crates that may know Redis: the store, and the tests' own server.
const REDIS_USERS: &[&str] = &["pintail-store", "pintail-testkit"];

/// What is built on this platform: packages for others need not be on the machine.
fn metadata() -> Value {
    let host = output(Command::new("rustc").arg("-vV"));
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc tells its host");
    let arguments = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host];
    serde_json::from_str(&output(Command::new(env!("CARGO")).args(arguments))).expect("cargo writes JSON")
}

fn output(command: &mut Command) -> String {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("the tools of the build are there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the tools write UTF-8")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().expect("cargo lists packages")
}

/// The workspace's own packages.
fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    packages(metadata).iter().filter(|package| package["source"].is_null())
}

/// The packages that a member depends on, tests apart.
fn dependencies(member: &Value) -> impl Iterator<Item = &str> {
    let all = member["dependencies"].as_array().expect("cargo lists dependencies");
    all.iter().filter(|dependency| text(dependency, "kind") != "dev").map(|dependency| text(dependency, "name"))
}

/// Whether the licence can be had: with alternatives, one is enough; where something must hold besides, all must be on
/// the list.
fn is_allowed(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ").replace(['(', ')'], " ");
    let must_hold = licence.split(" AND ").flat_map(|part| part.split(" OR ")).map(str::trim);
    let mut on_list = must_hold.map(|one| LICENCES.contains(&one));
    if licence.contains(" AND ") { on_list.all(|is_on_list| is_on_list) } else { on_list.any(|is_on_list| is_on_list) }
}

#[test]
fn every_licence_is_on_the_list() {
    let metadata = metadata();
    let others: BTreeSet<_> = packages(&metadata)
        .iter()
        .filter(|package| !is_allowed(text(package, "license")))
        .map(|package| format!("{}: {:?}", text(package, "name"), text(package, "license")))
        .collect();
    assert!(others.is_empty(), "licences that are not on the list: {others:#?}");
    for refused in ["GPL-3.0", "MIT AND GPL-3.0", "", "LGPL-2.1 OR MPL-2.0", "(MIT OR Apache-2.0) AND GPL-3.0"] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

#[test]
fn every_package_comes_from_one_registry() {
    let metadata = metadata();
    let sources: BTreeSet<_> = packages(&metadata).iter().filter_map(|package| package["source"].as_str()).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("registry+")), "not from a repository: {sources:?}");
}

#[test]
fn two_versions_of_a_package_are_built_only_where_the_list_says() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages(&metadata) {
        versions.entry(text(package, "name")).or_default().insert(text(package, "version"));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let listed: BTreeSet<_> = DUPLICATES.iter().copied().collect();
    let found: BTreeSet<_> = versions.keys().copied().collect();
    assert_eq!(found, listed, "{versions:#?}");
}

#[test]
fn dependencies_between_crates_point_one_way() {
    let metadata = metadata();
    let own: BTreeSet<_> = members(&metadata).map(|member| text(member, "name")).collect();
    for (name, allowed) in DIRECTIONS {
        let member = members(&metadata).find(|member| text(member, "name") == *name);
        let member = member.unwrap_or_else(|| panic!("there is no crate {name}"));
        for dependency in dependencies(member).filter(|dependency| own.contains(dependency)) {
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
    for member in members(&metadata) {
        let (name, manifest) = (text(member, "name"), text(member, "manifest_path"));
        let for_authors = ["/games/", "/examples/"].iter().any(|folder| manifest.contains(folder));
        for dependency in dependencies(member).filter(|dependency| own.contains(dependency)) {
            let is_library = ["pintail", "pintail-game"].contains(&dependency);
            assert!(!for_authors || is_library, "{name} is a game, and must not depend on {dependency}");
        }
    }
}

#[test]
fn only_the_store_knows_redis() {
    let metadata = metadata();
    let users: BTreeSet<_> = members(&metadata)
        .filter(|member| dependencies(member).any(|dependency| dependency == "redis"))
        .map(|member| text(member, "name"))
        .collect();
    assert!(users.iter().all(|user| REDIS_USERS.contains(user)), "{users:?}");
    assert!(users.contains("pintail-store"));
}
