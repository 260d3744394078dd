//! The signal that interrupts a thread, and what it notes. **The only unsafe code of the workspace**: there is no other way
//! to be told where a thread is.
//!
//! Whatever runs in the handler may have interrupted anything, an allocation or a lock included. So it takes no lock,
//! allocates nothing, and calls the kernel only. It reads no memory of the stack by itself: the chain of frames (`walk`) can
//! lead anywhere, so each of its links is read by `process_vm_readv`, which answers with an error where there is
//! nothing.
//!
//! The handler stays installed when the recording is over: a signal can be late, and without a handler it would end the process.
#![expect(unsafe_code, reason = "signal handlers, and the registers of an interrupted thread")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, mem, ptr, thread};

use super::CantRecord;
use super::walk::{DEPTH_MAX, Memory, Registers, Text, walk};

/// How many words all stacks of a recording have together: a minute of two busy threads with deep stacks, at 99 samples
/// a second, takes a half. It is memory that costs nothing until a profile is recorded.
const WORDS_MAX: usize = 1 << 20;

/// The words before the addresses of a stack: the thread, and how many addresses follow.
const HEADER_WORDS: usize = 2;

/// Stacks one after another.
static WORDS: [AtomicU64; WORDS_MAX] = [const { AtomicU64::new(0) }; WORDS_MAX];
/// Where the next goes.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static NOTED: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
/// Whether handlers note anything.
static IS_RECORDING: AtomicBool = AtomicBool::new(false);
/// How many handlers run at the moment.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// Where the program's own code is.
static TEXT_START: AtomicU64 = AtomicU64::new(0);
static TEXT_END: AtomicU64 = AtomicU64::new(0);
/// Whether someone records; and whether the handler is installed.
static OWNER: Mutex<Owner> = Mutex::new(Owner { is_taken: false, is_installed: false });

struct Owner {
    is_taken: bool,
    is_installed: bool,
}

/// A thread's stack: where it was, its caller, the caller's caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stack {
    pub(super) thread: u32,
    pub(super) addresses: Vec<u64>,
}

/// What was noted.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) stacks: Vec<Stack>,
    pub(super) lost: u64,
}

/// The one recording of this process.
#[derive(Debug)]
pub(super) struct Session(());

impl Session {
    pub(super) fn start(period: Duration) -> Result<Self, CantRecord> {
        if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
            return Err(CantRecord::NotHere);
        }
        let mut owner = OWNER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if owner.is_taken {
            return Err(CantRecord::Busy);
        }
        if !owner.is_installed {
            let text = own_text()?;
            TEXT_START.store(text.start, Ordering::Relaxed);
            TEXT_END.store(text.end, Ordering::Relaxed);
            install()?;
            owner.is_installed = true;
        }
        for counter in [&NOTED, &LOST] {
            counter.store(0, Ordering::Relaxed);
        }
        NEXT.store(0, Ordering::Relaxed);
        IS_RECORDING.store(true, Ordering::SeqCst);
        if let Err(error) = set_timer(period) {
            IS_RECORDING.store(false, Ordering::SeqCst);
            return Err(error.into());
        }
        owner.is_taken = true;
        Ok(Self(()))
    }

    /// Ends it, and gives what it noted.
    pub(super) fn finish(self) -> Noted {
        stop();
        read()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        stop();
        OWNER.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_taken = false;
    }
}

#[cfg(test)]
pub(super) fn noted_so_far() -> u64 {
    NOTED.load(Ordering::Relaxed)
}

fn stop() {
    // A timer of no period is off, which can't be refused.
    let _ = set_timer(Duration::ZERO);
    IS_RECORDING.store(false, Ordering::SeqCst);
    // A handler that saw the recording before is among these; one that comes later notes nothing.
    while RUNNING.load(Ordering::SeqCst) > 0 {
        thread::yield_now();
    }
}

/// What the handlers have written; none of them runs any more.
fn read() -> Noted {
    let end = NEXT.load(Ordering::SeqCst).min(WORDS_MAX);
    let word = |at: usize| WORDS[at].load(Ordering::Relaxed);
    let mut stacks = Vec::new();
    let mut at = 0;
    // A stack without room has no length.
    while at + HEADER_WORDS <= end {
        let length = usize::try_from(word(at + 1)).unwrap_or(usize::MAX);
        let first = at + HEADER_WORDS;
        if length == 0 || length > DEPTH_MAX || first + length > end {
            break;
        }
        let thread = u32::try_from(word(at)).unwrap_or_default();
        stacks.push(Stack { thread, addresses: (first..first + length).map(word).collect() });
        at = first + length;
    }
    Noted { stacks, lost: LOST.load(Ordering::Relaxed) }
}

/// Where the kernel has put the code of this program's file.
fn own_text() -> io::Result<Text> {
    let program = std::env::current_exe()?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let own = maps.lines().filter_map(|line| code_of(line, &program.to_string_lossy()));
    let all = own.reduce(|all, next| Text { start: all.start.min(next.start), end: all.end.max(next.end) });
    Ok(all.unwrap_or_default())
}

/// What a line such as `5581a000-5582b000 r-xp 0000b000 fe:00 1234 /usr/bin/program` says of this program's code.
fn code_of(line: &str, program: &str) -> Option<Text> {
    let (range, rest) = line.split_once(' ')?;
    let is_own = rest.starts_with("r-x") && rest.ends_with(program);
    let (start, end) = range.split_once('-').filter(|_| is_own)?;
    Some(Text { start: u64::from_str_radix(start, 16).ok()?, end: u64::from_str_radix(end, 16).ok()? })
}

fn install() -> Result<(), CantRecord> {
    // SAFETY: both are plain data for which all zeros is a value, and the calls get pointers to them that live as long as
    // the calls. The handler is async-signal-safe, as the module says.
    unsafe {
        let mut before: libc::sigaction = mem::zeroed();
        if libc::sigaction(libc::SIGPROF, ptr::null(), &raw mut before) != 0 {
            return Err(io::Error::last_os_error().into());
        }
        if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN {
            return Err(CantRecord::SignalInUse);
        }
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        if libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error().into());
        }
    }
    Ok(())
}

fn set_timer(period: Duration) -> io::Result<()> {
    let period = libc::timeval {
        tv_sec: libc::time_t::try_from(period.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(period.subsec_micros()),
    };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: the call reads the struct, and is asked to write nothing.
    let status = unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn handle(_signal: libc::c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    RUNNING.fetch_add(1, Ordering::SeqCst);
    if IS_RECORDING.load(Ordering::SeqCst) && !context.is_null() {
        // SAFETY: the kernel gives a handler with SA_SIGINFO the context of the thread, which lives as long as the handler;
        // errno is the thread's own, and what the thread was about to read from it must stay.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            note(registers(&*context.cast::<libc::ucontext_t>()));
            *errno = before;
        }
    }
    RUNNING.fetch_sub(1, Ordering::SeqCst);
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let register = |index: libc::c_int| context.uc_mcontext.gregs[index as usize].cast_unsigned();
    Registers { instruction: register(libc::REG_RIP), stack: register(libc::REG_RSP), frame: register(libc::REG_RBP) }
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let context = &context.uc_mcontext;
    Registers { instruction: context.pc, stack: context.sp, frame: context.regs[29] }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn registers(_: &libc::ucontext_t) -> Registers {
    Registers { instruction: 0, stack: 0, frame: 0 }
}

/// Notes the stack of the thread that was interrupted.
fn note(registers: Registers) {
    let mut addresses = [0; DEPTH_MAX];
    let text = Text { start: TEXT_START.load(Ordering::Relaxed), end: TEXT_END.load(Ordering::Relaxed) };
    let depth = walk(registers, text, &Here, &mut addresses);
    // SAFETY: the call takes nothing and always succeeds.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    let words = HEADER_WORDS + depth;
    // What one stack finds no room in is given to no other: after the first that is lost, all are.
    let at = NEXT.fetch_add(words, Ordering::SeqCst);
    if at + words > WORDS_MAX {
        if let Some(length) = WORDS.get(at + 1) {
            length.store(0, Ordering::Relaxed);
        }
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    }
    WORDS[at].store(thread.cast_unsigned(), Ordering::Relaxed);
    WORDS[at + 1].store(depth as u64, Ordering::Relaxed);
    for (word, address) in WORDS[at + HEADER_WORDS..].iter().zip(&addresses[..depth]) {
        word.store(*address, Ordering::Relaxed);
    }
    NOTED.fetch_add(1, Ordering::Relaxed);
}

/// Memory as the kernel reads it: where there is none, nothing is read, and nothing breaks.
struct Here;

impl Memory for Here {
    fn read(&self, address: u64, words: &mut [u64]) -> usize {
        let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size_of_val(words) };
        let remote = libc::iovec {
            iov_base: ptr::without_provenance_mut(usize::try_from(address).unwrap_or_default()),
            iov_len: size_of_val(words),
        };
        // SAFETY: the kernel writes to the local words alone, which are as many as it is told, and answers with an error or
        // with fewer if the others can't be read.
        let count = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
        usize::try_from(count).unwrap_or_default() / size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_where_there_is_some_and_nowhere_else() {
        let words = [1_u64, 2];
        assert_eq!(Here.read_all(words.as_ptr().addr() as u64), Some([1, 2]));
        for nowhere in [0, 8, u64::MAX - 15, 1 << 62] {
            assert_eq!(Here.read_all::<2>(nowhere), None, "{nowhere:#x}");
        }
    }

    #[test]
    fn the_programs_own_code_is_found() {
        let text = own_text().unwrap();
        let function = own_text as *const () as u64;
        assert!((text.start..text.end).contains(&function), "{function:#x} is not in {text:x?}");
        let library = libc::getpid as *const () as u64;
        assert!(!(text.start..text.end).contains(&library), "{library:#x} is in {text:x?}");
    }
}
