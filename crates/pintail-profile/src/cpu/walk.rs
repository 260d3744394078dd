//! From where a thread was interrupted to its callers. It runs in the handler of a signal: it allocates nothing and reads
//! the stack through [`Memory`] alone.
//!
//! The program is built with frame pointers (`-C force-frame-pointers=yes`), as the standard library is, so its own
//! functions form a chain: each frame has a record of where the caller's is and where it goes on. The system's
//! libraries are not: a thread that is in one of them, as one that sends or receives is, has other things in
//! the register that should point to its frame. For these, the nearest record above is looked for, and the place in the
//! program that called the library.

/// How many callers are noted of a stack; the rest is cut off at the far end.
pub(super) const DEPTH_MAX: usize = 128;

/// How far the frames of a stack can be from its end. Threads have 2 MiB unless they ask for more.
const STACK_BYTES_MAX: u64 = 64 << 20;

/// How many words of the stack are searched for the program's part of it: the frames of a library have tens.
const SEARCH_WORDS: usize = 128;

/// The bytes of a word.
const WORD: u64 = 8;

/// Where a thread was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers {
    pub(super) instruction: u64,
    pub(super) stack: u64,
    pub(super) frame: u64,
}

/// The memory of this process.
pub(super) trait Memory {
    /// Reads words from an address on. Returns how many there are, from the first on.
    fn read(&self, address: u64, words: &mut [u64]) -> usize;

    /// Reads that many words, or nothing.
    fn read_all<const N: usize>(&self, address: u64) -> Option<[u64; N]> {
        let mut words = [0; N];
        (self.read(address, &mut words) == N).then_some(words)
    }
}

/// Where the program's own code is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Text {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Text {
    fn has(self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// Fills in where the thread was and its callers, nearest first. Returns how many addresses there are: one at least.
pub(super) fn walk(registers: Registers, text: Text, memory: &impl Memory, addresses: &mut [u64; DEPTH_MAX]) -> usize {
    addresses[0] = registers.instruction;
    let mut depth = 1;
    let mut frame = registers.frame;
    if !text.has(registers.instruction) {
        let found = search(registers, text, memory);
        frame = found.record.unwrap_or(frame);
        if let Some(caller) = found.caller {
            addresses[depth] = before(caller);
            depth += 1;
        }
    }
    let mut last = registers.stack;
    let end = registers.stack.saturating_add(STACK_BYTES_MAX);
    while depth < DEPTH_MAX {
        // Callers' frames are further up the stack, each above the one before.
        let is_plausible = is_frame(frame, last, end);
        let Some([next, address]) = is_plausible.then(|| memory.read_all(frame)).flatten() else { break };
        if address == 0 {
            break;
        }
        addresses[depth] = before(address);
        depth += 1;
        last = frame + 1;
        frame = next;
    }
    depth
}

/// A call returns to the instruction after it, which may belong to the next line, or to another function.
const fn before(return_address: u64) -> u64 {
    return_address - 1
}

const fn is_frame(frame: u64, lowest: u64, end: u64) -> bool {
    frame >= lowest && frame < end && frame.is_multiple_of(WORD)
}

/// What was found of the program on the stack of a thread that is in a library.
struct Found {
    /// The nearest record of a frame that goes on in the program.
    record: Option<u64>,
    /// Where the program goes on when the library returns, if that is not in the record.
    caller: Option<u64>,
}

fn search(registers: Registers, text: Text, memory: &impl Memory) -> Found {
    let mut words = [0; SEARCH_WORDS];
    let count = memory.read(registers.stack, &mut words);
    let words = &words[..count];
    let end = registers.stack.saturating_add(STACK_BYTES_MAX);
    let returns = |address: u64| text.has(address) && follows_a_call(address, memory);
    let is_record = |at: u64, next: u64, address: u64| is_frame(next, at + WORD, end) && returns(address);
    // Most functions of a library that call nothing leave the register as it was.
    let kept = is_frame(registers.frame, registers.stack, end)
        .then(|| memory.read_all(registers.frame))
        .flatten()
        .filter(|[next, address]| is_record(registers.frame, *next, *address))
        .map(|_| registers.frame);
    let mut caller = None;
    for (at, &word) in (registers.stack..).step_by(WORD as usize).zip(words) {
        let index = ((at - registers.stack) / WORD) as usize;
        let is_here = kept.map_or_else(
            || words.get(index + 1).is_some_and(|&address| is_record(at, word, address)),
            |kept| at == kept,
        );
        if is_here {
            return Found { record: Some(at), caller };
        }
        if caller.is_none() && returns(word) {
            caller = Some(word);
        }
    }
    Found { record: kept, caller }
}

/// Whether the instruction before this address is a call. Without it, any pointer to a function that lies on the stack would
/// be taken for a caller.
#[cfg(target_arch = "x86_64")]
fn follows_a_call(address: u64, memory: &impl Memory) -> bool {
    let Some([word]) = memory.read_all(address - WORD) else { return false };
    let bytes = word.to_le_bytes();
    let is_indirect = |length: usize| {
        let call = &bytes[bytes.len() - length..];
        call[0] == 0xff && indirect_call_bytes(call[1]) == Some(length)
    };
    bytes[3] == 0xe8 || (2..=7).any(is_indirect)
}

/// How long a call by a register or by memory is: the opcode, this byte that says what it goes by, and what that asks for.
#[cfg(target_arch = "x86_64")]
const fn indirect_call_bytes(operand: u8) -> Option<usize> {
    let (mode, operation, register) = (operand >> 6, operand >> 3 & 7, operand & 7);
    if operation != 2 {
        return None;
    }
    let has_scale = mode != 3 && register == 4;
    let displacement = match (mode, register) {
        (0, 5) | (2, _) => 4,
        (1, _) => 1,
        _ => 0,
    };
    Some(2 + has_scale as usize + displacement)
}

/// Whether the instruction before this address is a call: `bl`, or `blr`.
#[cfg(not(target_arch = "x86_64"))]
fn follows_a_call(address: u64, memory: &impl Memory) -> bool {
    let Some([word]) = memory.read_all(address - WORD) else { return false };
    let instruction = (word >> 32) as u32;
    instruction >> 26 == 0b10_0101 || instruction & 0xffff_fc1f == 0xd63f_0000
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Where the program is, in the memory that the tests make up.
    const TEXT: Text = Text { start: 0x1000, end: 0x2000 };
    /// Where its stack is.
    const STACK: u64 = 0x8000;
    /// An instruction of a library.
    const LIBRARY: u64 = 0x70_0000;

    /// A stack, and places in the program that come after a call.
    struct Made {
        stack: Vec<u64>,
        calls: Vec<u64>,
    }

    impl Memory for Made {
        fn read(&self, address: u64, words: &mut [u64]) -> usize {
            if TEXT.has(address) {
                // call *0x1234(%rip), or nothing but padding.
                let is_call = self.calls.contains(&(address + WORD));
                words[0] =
                    u64::from_le_bytes(if is_call { [0x90, 0x90, 0xff, 0x15, 0x34, 0x12, 0, 0] } else { [0xcc; 8] });
                return 1;
            }
            let from = address.checked_sub(STACK).map_or(usize::MAX, |bytes| (bytes / WORD) as usize);
            let there = self.stack.get(from..).unwrap_or_default();
            let count = there.len().min(words.len());
            words[..count].copy_from_slice(&there[..count]);
            count
        }
    }

    fn at(index: u64) -> u64 {
        STACK + index * WORD
    }

    fn walk_from(instruction: u64, frame: u64, made: &Made) -> Vec<u64> {
        let mut addresses = [0; DEPTH_MAX];
        let depth = walk(Registers { instruction, stack: STACK, frame }, TEXT, made, &mut addresses);
        addresses[..depth].to_vec()
    }

    #[test]
    fn a_chain_that_leads_nowhere_or_round_ends() {
        let chain = Made { stack: vec![at(2), 100, at(4), 200, at(0), 300], calls: Vec::new() };
        assert_eq!(walk_from(0x1007, at(0), &chain), [0x1007, 99, 199, 299]);
        assert_eq!(walk_from(0x1007, 0, &chain), [0x1007], "no frame");
        assert_eq!(walk_from(0x1007, at(0) + 1, &chain), [0x1007], "no frame begins at an odd address");
        assert_eq!(walk_from(0x1007, at(0) - 8, &chain), [0x1007], "that is below the stack");
        assert_eq!(walk_from(0x1007, at(5), &chain), [0x1007], "there is half a record only");
        assert_eq!(walk_from(0x1007, at(0) + STACK_BYTES_MAX, &chain), [0x1007], "that is beyond it");
    }

    #[test]
    fn a_library_that_keeps_the_register_is_left_by_its_return_address() {
        // The return address, a local that points to a function, and the caller's own record.
        let made =
            Made { stack: vec![0x1100, 0x1f00, at(5), 0x1200, 0, at(7), 0x1300], calls: vec![0x1100, 0x1200, 0x1300] };
        assert_eq!(walk_from(LIBRARY, at(2), &made), [LIBRARY, 0x10ff, 0x11ff, 0x12ff]);
    }

    #[test]
    fn a_library_that_uses_the_register_is_left_by_the_nearest_record() {
        let calls = vec![0x1100, 0x1200, 0x1300];
        // Locals of the library, then what it saved of the register, beside its return address.
        let beside = Made { stack: vec![3, LIBRARY, at(5), 0x1100, 9, at(8), 0x1200, 9, 0, 0], calls: calls.clone() };
        assert_eq!(walk_from(LIBRARY, 3, &beside), [LIBRARY, 0x10ff, 0x11ff]);
        // What it saved of other registers stands between them.
        let apart = Made { stack: vec![at(5), 77, 0x1100, 0x1f00, 9, at(8), 0x1200, 9, 0, 0], calls };
        assert_eq!(walk_from(LIBRARY, 3, &apart), [LIBRARY, 0x10ff, 0x11ff]);
    }

    #[test]
    fn what_only_looks_like_a_record_is_passed_over() {
        // A value to print: a pointer to the stack, and the function that prints it.
        let made = Made { stack: vec![at(3), 0x1f00, at(6), 0x1100, 9, 9, 0, 0], calls: vec![0x1100] };
        assert_eq!(walk_from(LIBRARY, 3, &made), [LIBRARY, 0x10ff]);
    }

    #[test]
    fn a_thread_of_which_nothing_is_known_is_at_least_where_it_is() {
        assert_eq!(walk_from(LIBRARY, 3, &Made { stack: vec![1, 2, 3], calls: Vec::new() }), [LIBRARY]);
        assert_eq!(walk_from(LIBRARY, 3, &Made { stack: Vec::new(), calls: Vec::new() }), [LIBRARY]);
    }

    #[test]
    fn calls_are_known_in_every_form() {
        struct Code([u8; 8]);
        impl Memory for Code {
            fn read(&self, _: u64, words: &mut [u64]) -> usize {
                words[0] = u64::from_le_bytes(self.0);
                1
            }
        }
        let is_call = |code: &[u8]| {
            let mut bytes = [0x90; 8];
            bytes[8 - code.len()..].copy_from_slice(code);
            follows_a_call(0x1100, &Code(bytes))
        };
        for call in [
            &[0xe8, 1, 2, 3, 4][..],         // call function
            &[0xff, 0xd0],                   // call *%rax
            &[0x41, 0xff, 0xd7],             // call *%r15
            &[0xff, 0x10],                   // call *(%rax)
            &[0xff, 0x50, 0x18],             // call *24(%rax)
            &[0xff, 0x54, 0x24, 0x18],       // call *24(%rsp)
            &[0xff, 0x90, 1, 2, 0, 0],       // call *513(%rax)
            &[0xff, 0x94, 0x24, 1, 2, 0, 0], // call *513(%rsp)
            &[0xff, 0x15, 1, 2, 3, 4],       // call *table(%rip)
        ] {
            assert!(is_call(call), "{call:x?}");
        }
        for other in [&[0xcc; 8][..], &[0xff, 0xc0], &[0xff, 0xe0], &[0x48, 0x89, 0xc7], &[0xff, 0x50]] {
            assert!(!is_call(other), "{other:x?}");
        }
    }
}
