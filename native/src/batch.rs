//! Many tokens at once, over as many threads as pay, and eight in one go where there are lanes for them.

use std::num::NonZero;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::OnceLock;
use std::thread;

use multibuffer::{Lanes, LANES};

use crate::algorithm::Verifier;
use crate::compact::Parts;
use crate::lanes::{self, Class, Job, CLASSES, WORTH};

/// A thread is worth starting for this many microseconds of work.
const WORTH_A_THREAD: usize = 100;

/// The most groups taken at once: few enough that no thread is left with a long rest at the end.
const MOST_AT_ONCE: usize = 2;

/// Room for the signatures that there are lanes for.
const LANE_SIGNATURE: usize = 512;

const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

/// A key and the token to open with it, or None where one of them is missing.
pub type Work<'a> = Option<(&'a Verifier, &'a str)>;

/// Places of tokens that are verified together: of one class, or each on its own.
struct Group {
    class: Option<Class>,
    at: [usize; LANES],
    len: usize,
}

impl Group {
    const fn new(class: Option<Class>) -> Self {
        Self {
            class,
            at: [0; LANES],
            len: 0,
        }
    }

    fn places(&self) -> &[usize] {
        &self.at[..self.len]
    }

    /// A rough price in microseconds.
    fn cost(&self, work: &[Work]) -> usize {
        match self.class {
            Some(class) => class.cost(),
            None => self
                .places()
                .iter()
                .filter_map(|&at| work[at])
                .map(|(key, _)| key.cost())
                .sum(),
        }
    }
}

/// Sorts tokens by what may share lanes, in the order in which the groups are full: those that the caller asks for
/// first are verified first.
fn grouped(work: &[Work], lanes: Option<Lanes>) -> Vec<Group> {
    let mut groups = Vec::with_capacity(work.len() / LANES + CLASSES + 1);
    let mut open: [Group; CLASSES + 1] = std::array::from_fn(|_| Group::new(None));
    for (at, work) in work.iter().enumerate() {
        let key = lanes.and(*work).and_then(|(key, _)| key.lane());
        let class = key.map(|key| key.class());
        let group = &mut open[class.map_or(CLASSES, |class| class as usize)];
        group.class = class;
        group.at[group.len] = at;
        group.len += 1;
        if group.len == LANES {
            groups.push(std::mem::replace(group, Group::new(None)));
        }
    }
    for mut group in open {
        if group.len > 0 {
            // Eight lanes take their time, however few of them are filled.
            group.class = group.class.filter(|_| group.len >= WORTH);
            groups.push(group);
        }
    }
    groups
}

/// What is to be verified, what is already taken, and what came out. Threads share it without locks.
pub struct Board<'a> {
    work: Vec<Work<'a>>,
    lanes: Option<Lanes>,
    groups: Vec<Group>,
    verdicts: Vec<AtomicU8>,
    /// The first group that nobody has taken.
    next: AtomicUsize,
    threads: usize,
}

impl<'a> Board<'a> {
    /// With `lanes`, tokens that may share them do.
    pub fn new(work: Vec<Work<'a>>, threads: usize, lanes: Option<Lanes>) -> Self {
        let verdicts = work.iter().map(|_| AtomicU8::new(UNKNOWN)).collect();
        let wanted = if threads == 0 { cores() } else { threads };
        let groups = grouped(&work, lanes);
        let cost: usize = groups.iter().map(|group| group.cost(&work)).sum();
        Self {
            lanes,
            groups,
            verdicts,
            next: AtomicUsize::new(0),
            threads: wanted.min(cost / WORTH_A_THREAD).max(1),
            work,
        }
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.work.len()
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

    /// Takes some groups, fewer the nearer the end is, and verifies them; false if none are left.
    fn verify_some(&self) -> bool {
        let len = self.groups.len();
        let take = |start| {
            let some = (len.saturating_sub(start) / (2 * self.threads)).clamp(1, MOST_AT_ONCE);
            (start < len).then_some(start + some)
        };
        let order = Ordering::Relaxed;
        let Ok(start) = self.next.fetch_update(order, order, take) else {
            return false;
        };
        for group in &self.groups[start..take(start).unwrap_or(len)] {
            self.verify_group(group);
        }
        true
    }

    fn verify_group(&self, group: &Group) {
        if let (Some(lanes), Some(_)) = (self.lanes, group.class) {
            self.verify_in_lanes(lanes, group.places());
        }
        for &at in group.places() {
            if self.verdict(at) == UNKNOWN {
                self.verify(at);
            }
        }
    }

    /// Leaves the verdict unknown where AWS-LC is to judge.
    fn verify_in_lanes(&self, lanes: Lanes, places: &[usize]) {
        let mut room = [[0; LANE_SIGNATURE]; LANES];
        let mut jobs = [None; LANES];
        for ((&at, room), job) in places.iter().zip(&mut room).zip(&mut jobs) {
            *job = self.job(at, room);
        }
        let verdicts = lanes::judge(lanes, &jobs);
        for (&at, verdict) in places.iter().zip(verdicts) {
            if let Some(good) = verdict {
                self.decide(at, good);
            }
        }
    }

    /// What a lane needs of a token. None is for what is no token at all.
    fn job<'b>(&'b self, at: usize, room: &'b mut [u8; LANE_SIGNATURE]) -> Option<Job<'b>> {
        let (verifier, token) = self.work[at]?;
        let parts = Parts::of(verifier, token)?;
        let signature = room.get_mut(..verifier.signature_len())?;
        parts.decode_signature(signature).then_some(Job {
            key: verifier.lane()?,
            message: parts.signing_input,
            signature,
        })
    }

    fn verify(&self, at: usize) {
        let good = self.work[at].is_some_and(|(verifier, token)| {
            Parts::of(verifier, token).is_some_and(|parts| parts.verified(verifier))
        });
        self.decide(at, good);
    }

    fn decide(&self, at: usize, good: bool) {
        self.verdicts[at].store(if good { GOOD } else { BAD }, Ordering::Release);
    }

    fn verdict(&self, at: usize) -> u8 {
        self.verdicts[at].load(Ordering::Acquire)
    }
}

struct StopAtTheEnd<'a>(&'a Board<'a>);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.next.store(self.0.groups.len(), Ordering::Relaxed);
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
                let mut board = Board::new(work.collect(), threads, Lanes::get());
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
        let board = Board::new(vec![None], 1, Lanes::get());
        board.verify_until(1);
        assert_eq!(board.payload(0), None);
    }

    #[test]
    fn small_batches_use_few_threads() {
        let verifier = Verifier::new("HS256", &SECRET).unwrap();
        assert_eq!(Board::new(vec![], 8, None).threads, 1);
        assert_eq!(
            Board::new(vec![Some((&verifier, "")); 100], 8, None).threads,
            1
        );
        assert_eq!(
            Board::new(vec![Some((&verifier, "")); 300], 8, None).threads,
            3
        );
        assert_eq!(
            Board::new(vec![Some((&verifier, "")); 10_000], 8, None).threads,
            8
        );
    }
}
