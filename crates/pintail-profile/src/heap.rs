//! What holds the memory of this process, by where it was allocated. Only jemalloc can tell, so a program has to be built
//! with it: the feature `heap-profile`. Then it is the allocator of every program that has this crate in it, and notes one
//! allocation in each half MiB (its own default): that costs some percent of the time that allocating takes.

use thiserror::Error;

#[cfg(feature = "heap-profile")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc is told when it starts, before anything is allocated: it looks for a symbol of this name. What an operator
/// says in `_RJEM_MALLOC_CONF` beats it.
#[cfg(feature = "heap-profile")]
#[expect(
    unsafe_code,
    reason = "a symbol that a library looks for by its name: no code that runs, but it has to be unique"
)]
// SAFETY: nothing else has this name, which is jemalloc's own, with the prefix that it is built with here.
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 45] = b"prof:true,prof_active:true,lg_prof_sample:19\0";

/// Why there is no heap profile.
#[derive(Debug, Error)]
pub enum CantTell {
    /// The program was built without it.
    #[error(
        "this program can't tell what holds its memory: build it with `cargo build --release --features heap-profile` \
         (which takes a C compiler and make)"
    )]
    NotBuilt,
    /// The allocator was told not to look.
    #[error("the allocator keeps no heap profile: start the server without `prof:false` in _RJEM_MALLOC_CONF")]
    Off,
    /// The allocator failed.
    #[error("the allocator could not write its profile: {0}")]
    Failed(String),
}

/// What is allocated now, as a pprof file compressed with gzip. Takes up to some seconds of CPU time.
///
/// # Errors
/// If the program was not built to tell, or the allocator can't.
#[cfg(not(feature = "heap-profile"))]
pub fn profile() -> Result<Vec<u8>, CantTell> {
    Err(CantTell::NotBuilt)
}

/// What is allocated now, as a pprof file compressed with gzip. Takes up to some seconds of CPU time.
///
/// # Errors
/// If the program was not built to tell, or the allocator can't.
#[cfg(feature = "heap-profile")]
pub fn profile() -> Result<Vec<u8>, CantTell> {
    let control = jemalloc_pprof::PROF_CTL.as_ref().ok_or(CantTell::Off)?;
    // Nobody else dumps: whoever holds the lock does it now and is soon done.
    let mut control = control.blocking_lock();
    if !control.activated() {
        return Err(CantTell::Off);
    }
    control.dump_pprof().map_err(|error| CantTell::Failed(error.to_string()))
}
