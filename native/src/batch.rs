//! Many tokens at once, over as many threads as pay.

use std::num::NonZero;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crate::algorithm::Verifier;
use crate::compact;

/// A thread is worth starting for this many microseconds of work.
const WORTH_A_THREAD: usize = 100;

/// A key, and the text to open with it, if it is text at all.
pub type Work<'a> = (&'a Verifier, Option<&'a str>);

/// The verified payload segments, in order. No thread outlives the call, and no state does.
pub fn verified_payloads<'a>(work: &[Work<'a>], threads: usize) -> Vec<Option<&'a [u8]>> {
    let mut payloads = vec![None; work.len()];
    let threads = useful_threads(work, threads);
    let chunk = (work.len() / (threads * 16)).clamp(1, 32);
    let chunks = Mutex::new(work.chunks(chunk).zip(payloads.chunks_mut(chunk)));
    let run = || {
        // A statement of its own, so that the lock is not held during the work.
        while let Some((work, payloads)) = {
            let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
            next
        } {
            for (payload, &(verifier, token)) in payloads.iter_mut().zip(work) {
                *payload = token.and_then(|token| compact::verified_payload(verifier, token));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // A machine that grants no more threads still finishes, on fewer.
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    payloads
}

fn useful_threads(work: &[Work], threads: usize) -> usize {
    let wanted = if threads == 0 { cores() } else { threads };
    let cost: usize = work.iter().map(|(verifier, _)| verifier.cost()).sum();
    wanted.min(cost / WORTH_A_THREAD).max(1)
}

/// Asked once: on Linux the answer means reading files.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get))
}
