//! Compiles the `.proto` files with a protoc in pure Rust, so that building needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/client.proto", "proto/link.proto"];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new().bytes([".pintail.link.v1.LobbyForward.request"]).compile_fds(descriptors)?;
    Ok(())
}
