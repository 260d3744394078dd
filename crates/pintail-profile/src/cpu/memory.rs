//! What finding names took of memory, and how it goes back.
#![expect(unsafe_code, reason = "a function of the C library")]

/// Gives memory that was freed back to the operating system. The tables of a program's names take a hundred megabytes, and
/// the C library would keep them for the next allocations, of which a server has few: each profile would leave it as
/// large as it was while they were read.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn give_back() {
    // SAFETY: the call may be made at any time, from any thread; it takes the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give memory back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) const fn give_back() {}
