//! Many tokens at once, over as many threads as pay.

use std::num::NonZero;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::OnceLock;
use std::thread;

use crate::algorithm::Verifier;
use crate::compact::Parts;

/// A thread is worth starting for this many microseconds of work.
const WORTH_A_THREAD: usize = 100;

/// The most tokens taken at once: few enough that no thread is left with a long rest at the end.
const MOST_AT_ONCE: usize = 16;

const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

/// A key and the token to open with it, or None where one of them is missing.
pub type Work<'a> = Option<(&'a Verifier, &'a str)>;

/// What is to be verified, what is already taken, and what came out. Threads share it without locks.
pub struct Board<'a> {
    work: Vec<Work<'a>>,
    verdicts: Vec<AtomicU8>,
    next: AtomicUsize,
    threads: usize,
}

impl<'a> Board<'a> {
    pub fn new(work: Vec<Work<'a>>, threads: usize) -> Self {
        let verdicts = work.iter().map(|_| AtomicU8::new(UNKNOWN)).collect();
        let wanted = if threads == 0 { cores() } else { threads };
        let cost: usize = work.iter().flatten().map(|(key, _)| key.cost()).sum();
        Self {
            verdicts,
            next: AtomicUsize::new(0),
            threads: wanted.min(cost / WORTH_A_THREAD).max(1),
            work,
        }
    }

    /// Runs `lead` on this thread, with helpers beside it that end no later than this call does.
    pub fn with_helpers<T>(&self, lead: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            for _ in 1..self.threads {
                // A machine that grants no more threads still finishes, on fewer.
                if thread::Builder::new()
                    .spawn_scoped(scope, || while self.verify_some() {})
                    .is_err()
                {
                    break;
                }
            }
            // The helpers must learn of a panic too, or the scope waits until they did all the work.
            let _stop = StopAtTheEnd(self);
            lead()
        })
    }

    /// Lends a hand until every verdict before `end` is known.
    pub fn verify_until(&self, end: usize) {
        for at in 0..end {
            while self.verdict(at) == UNKNOWN {
                // Nothing is left but what others have in hand: rather than wait, do it as well.
                if !self.verify_some() {
                    self.verify(at);
                }
            }
        }
    }

    /// The payload segment of a token whose verdict is known, if it is good.
    pub fn payload(&self, at: usize) -> Option<&'a [u8]> {
        let (verifier, token) = self.work[at]?;
        let parts = Parts::of(verifier, token)?;
        (self.verdict(at) == GOOD).then_some(parts.payload)
    }

    /// Takes some tokens, fewer the nearer the end is, and verifies them; false if none are left.
    fn verify_some(&self) -> bool {
        let len = self.work.len();
        let take = |start| {
            let some = (len.saturating_sub(start) / (2 * self.threads)).clamp(1, MOST_AT_ONCE);
            (start < len).then_some(start + some)
        };
        let order = Ordering::Relaxed;
        let Ok(start) = self.next.fetch_update(order, order, take) else {
            return false;
        };
        for at in start..take(start).unwrap_or(len) {
            self.verify(at);
        }
        true
    }

    fn verify(&self, at: usize) {
        let good = self.work[at].is_some_and(|(verifier, token)| {
            Parts::of(verifier, token).is_some_and(|parts| parts.verified(verifier))
        });
        self.verdicts[at].store(if good { GOOD } else { BAD }, Ordering::Release);
    }

    fn verdict(&self, at: usize) -> u8 {
        self.verdicts[at].load(Ordering::Acquire)
    }
}

struct StopAtTheEnd<'a>(&'a Board<'a>);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.next.store(self.0.work.len(), Ordering::Relaxed);
    }
}

/// Asked once: on Linux the answer means reading files.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::hmac;
    use base64_simd::URL_SAFE_NO_PAD;

    const SECRET: [u8; 32] = [7; 32];

    fn token(number: usize) -> String {
        let signing_input = format!(
            "e30.{}",
            URL_SAFE_NO_PAD.encode_to_string(number.to_string())
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
        let tag = hmac::sign(&key, signing_input.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode_to_string(tag.as_ref());
        // Every third signature is another token's.
        if number % 3 == 2 {
            return format!("{signing_input}x.{tag}");
        }
        format!("{signing_input}.{tag}")
    }

    #[test]
    fn verdicts_stand_at_their_tokens_places() {
        let verifier = Verifier::new("HS256", &SECRET).unwrap();
        for len in [0, 1, 2, 15, 16, 17, 1000] {
            for threads in [0, 1, 2, 7] {
                let tokens: Vec<String> = (0..len).map(token).collect();
                let work = tokens.iter().map(|token| Some((&verifier, &**token)));
                let mut board = Board::new(work.collect(), threads);
                board.threads = threads.max(1);
                board.with_helpers(|| board.verify_until(len));
                for at in 0..len {
                    assert_eq!(board.payload(at).is_some(), at % 3 != 2);
                }
            }
        }
    }

    #[test]
    fn what_is_missing_is_bad() {
        let board = Board::new(vec![None], 1);
        board.verify_until(1);
        assert_eq!(board.payload(0), None);
    }

    #[test]
    fn small_batches_use_few_threads() {
        let verifier = Verifier::new("HS256", &SECRET).unwrap();
        assert_eq!(Board::new(vec![], 8).threads, 1);
        assert_eq!(Board::new(vec![Some((&verifier, "")); 100], 8).threads, 1);
        assert_eq!(Board::new(vec![Some((&verifier, "")); 300], 8).threads, 3);
        assert_eq!(
            Board::new(vec![Some((&verifier, "")); 10_000], 8).threads,
            8
        );
    }
}
