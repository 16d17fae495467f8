//! What a session waits for, and since when. Pure: it is told the time.

use std::time::Duration;

use tokio::time::Instant;

use crate::StreamLimits;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The client did not answer two pings.
    PeerDead,
    /// Time to ask whether it is there.
    Ping,
    /// It is there, but has nothing to say.
    Idle,
    /// It takes nothing of what we say.
    WriteStalled,
    /// The session has lasted long enough.
    MaxDuration,
    /// What the client sent before the session began to wind down has arrived, though it may not be read yet.
    CaughtUp,
    /// The client may come back, and has not.
    ClientOverdue,
    /// The worker owes an answer: it takes nothing, or does not end.
    WorkerOverdue,
    /// The client owes its half of the closing handshake.
    EchoOverdue,
}

/// Which deadlines hold at the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// The session goes on: neither side has said that it ends.
    pub(super) open: bool,
    /// We read from the client, so its silence is its own.
    pub(super) reading: bool,
    /// The client said `end`: it has nothing more to say.
    pub(super) ended: bool,
}

/// The instants that deadlines count from.
#[derive(Debug)]
pub(super) struct Clock {
    /// Any frame from the client.
    heard: Instant,
    /// Audio or a message from the client.
    active: Instant,
    ping_at: Instant,
    max_at: Option<Instant>,
    /// Since when the client takes no byte.
    stalled: Option<Instant>,
    /// Since when the worker takes no message and says nothing.
    choked: Option<Instant>,
    worker_by: Option<Instant>,
    /// The worker is waited for no longer than this, however much it still says.
    over_by: Option<Instant>,
    catch_up_by: Option<Instant>,
    client_by: Option<Instant>,
    echo_by: Option<Instant>,
    /// Until then nobody is judged for what was due while we stood still.
    pardon: Option<Instant>,
}

/// No task waits so long for its turn, unless the process stands still.
const LATE: Duration = Duration::from_secs(1);
/// After a standstill, for what is with the kernel to be read.
const PARDON: Duration = Duration::from_millis(500);

impl Clock {
    pub(super) fn new(limits: &StreamLimits, now: Instant) -> Self {
        Self {
            heard: now,
            active: now,
            ping_at: now + limits.ping_interval,
            max_at: limits.max_duration.map(|most| now + most),
            stalled: None,
            choked: None,
            worker_by: None,
            over_by: None,
            catch_up_by: None,
            client_by: None,
            echo_by: None,
            pardon: None,
        }
    }

    /// The session began so long before.
    pub(super) fn has_lasted(&mut self, time: Duration, now: Instant) {
        self.max_at = self.max_at.map(|at| at.checked_sub(time).unwrap_or(now).max(now));
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn active(&mut self, now: Instant) {
        self.heard = now;
        self.active = now;
    }

    /// The worker has no room, so reading from the client pauses.
    pub(super) fn worker_blocked(&mut self, now: Instant) {
        self.choked.get_or_insert(now);
    }

    /// The worker took a message. A pause was ours and not the client's: its silence counts from now.
    pub(super) fn worker_took(&mut self, now: Instant) {
        if self.choked.take().is_some() {
            self.active(now);
        }
    }

    /// The worker said something: it lives, though it may have no room.
    pub(super) fn worker_spoke(&mut self, now: Instant) {
        self.choked = self.choked.map(|_| now);
    }

    pub(super) fn pinged(&mut self, limits: &StreamLimits, now: Instant) {
        self.ping_at = now + limits.ping_interval;
    }

    /// The socket takes nothing; if the client took something `just_now`, the wait begins again.
    pub(super) fn write_blocked(&mut self, now: Instant, just_now: bool) {
        if just_now || self.stalled.is_none() {
            self.stalled = Some(now);
        }
    }

    pub(super) fn write_done(&mut self) {
        self.stalled = None;
    }

    /// The worker owes an answer within `time`, or again within `time`.
    pub(super) fn expect_worker(&mut self, time: Duration, now: Instant) {
        self.worker_by = self.over_by.into_iter().chain([now + time]).min();
    }

    /// The session is to be over within `time`, and no later than was said before.
    pub(super) fn end_within(&mut self, time: Duration, now: Instant) {
        self.over_by = self.over_by.into_iter().chain([now + time]).min();
        self.worker_by = self.over_by.into_iter().chain(self.worker_by).min();
    }

    /// The worker has ended.
    pub(super) fn worker_ended(&mut self) {
        self.choked = None;
        self.worker_by = None;
    }

    /// What is under way from the client may arrive for a moment more.
    pub(super) fn catch_up(&mut self, time: Duration, now: Instant) {
        self.catch_up_by = Some(now + time);
    }

    /// The client is gone and may come back within `time`, or sooner if that was said before.
    pub(super) fn expect_client(&mut self, time: Duration, now: Instant) {
        self.client_by = self.client_by.into_iter().chain([now + time]).min();
    }

    pub(super) fn expect_echo(&mut self, time: Duration, now: Instant) {
        self.echo_by = Some(now + time);
    }

    /// What was due is being seen to, and is not due again.
    pub(super) fn strike(&mut self, due: Due) {
        match due {
            Due::WriteStalled => self.stalled = None,
            Due::MaxDuration => self.max_at = None,
            Due::WorkerOverdue => self.worker_ended(),
            Due::CaughtUp => self.catch_up_by = None,
            Due::ClientOverdue => self.client_by = None,
            Due::EchoOverdue => self.echo_by = None,
            // Either ends the session, and then is watched no more.
            Due::PeerDead | Due::Idle => {}
            // Is set anew.
            Due::Ping => {}
        }
    }

    /// Until when to wait for what is due at `at`; `None` when it is to be seen to now.
    ///
    /// Whoever is late by itself has stood still, and silence in that time says nothing: what arrived meanwhile is read first.
    pub(super) fn wait_until(&mut self, at: Instant, now: Instant) -> Option<Instant> {
        if now < at {
            self.pardon = None;
            return Some(at);
        }
        let pardon = (now - at > LATE).then(|| *self.pardon.get_or_insert(now + PARDON));
        let waits = pardon.filter(|until| now < *until);
        if waits.is_none() {
            self.pardon = None;
        }
        waits
    }

    /// What comes next, and when.
    pub(super) fn next(&self, limits: &StreamLimits, watch: Watch) -> Option<(Instant, Due)> {
        let Watch { open, reading, ended } = watch;
        let when = |condition: bool, at: Instant, due: Due| condition.then_some((at, due));
        [
            when(open, self.ping_at, Due::Ping),
            when(open && reading, self.heard + 2 * limits.ping_interval, Due::PeerDead),
            when(open && reading && !ended, self.active + limits.idle_timeout, Due::Idle),
            self.stalled.map(|since| (since + limits.write_timeout, Due::WriteStalled)),
            self.max_at.filter(|_| open).map(|at| (at, Due::MaxDuration)),
            self.choked.map(|since| (since + limits.worker_timeout, Due::WorkerOverdue)),
            self.worker_by.map(|at| (at, Due::WorkerOverdue)),
            self.catch_up_by.map(|at| (at, Due::CaughtUp)),
            self.client_by.map(|at| (at, Due::ClientOverdue)),
            self.echo_by.map(|at| (at, Due::EchoOverdue)),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Watch = Watch { open: true, reading: true, ended: false };

    fn next_of(clock: &Clock, limits: &StreamLimits, watch: Watch, start: Instant) -> Option<(u64, Due)> {
        clock.next(limits, watch).map(|(at, due)| ((at - start).as_secs(), due))
    }

    #[test]
    fn a_silent_client_is_pinged_and_then_given_up() {
        let (limits, start) = (StreamLimits::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock::new(&limits, start);
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((20, Due::Ping)));
        clock.pinged(&limits, at(20));
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((40, Due::PeerDead)));
        clock.heard(at(39));
        clock.pinged(&limits, at(40));
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((60, Due::Ping)), "a pong keeps it");
        clock.pinged(&limits, at(60));
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((60, Due::Idle)), "but a pong is no activity");
        clock.active(at(59));
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((80, Due::Ping)));
    }

    #[test]
    fn a_process_that_stood_still_reads_before_it_judges() {
        let (limits, start) = (StreamLimits::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let mut clock = Clock::new(&limits, start);
        assert_eq!(clock.wait_until(at(40_000), at(39_999)), Some(at(40_000)));
        assert_eq!(clock.wait_until(at(40_000), at(40_001)), None, "a task that had its turn in time");
        for resumed in [100_000, 200_000] {
            let until = Some(at(resumed + 500));
            assert_eq!(clock.wait_until(at(40_000), at(resumed)), until);
            assert_eq!(clock.wait_until(at(40_000), at(resumed + 499)), until, "once");
            assert_eq!(clock.wait_until(at(40_000), at(resumed + 500)), None, "nothing had arrived");
        }
        // Something had, and the next standstill is another one.
        assert!(clock.wait_until(at(40_000), at(300_000)).is_some());
        assert!(clock.wait_until(at(340_000), at(300_100)).is_some());
        assert_eq!(clock.wait_until(at(340_000), at(400_000)), Some(at(400_500)));
    }

    #[test]
    fn silence_does_not_count_while_we_do_not_read() {
        let (limits, start) = (StreamLimits::default(), Instant::now());
        let mut clock = Clock::new(&limits, start);
        clock.worker_blocked(start);
        clock.pinged(&limits, start + Duration::from_secs(20));
        let paused = Watch { reading: false, ..OPEN };
        clock.pinged(&limits, start + Duration::from_secs(60));
        assert_eq!(next_of(&clock, &limits, paused, start), Some((60, Due::WorkerOverdue)));
        clock.worker_took(start + Duration::from_secs(29));
        clock.pinged(&limits, start + Duration::from_secs(60));
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((69, Due::PeerDead)), "two intervals after the pause");
        let closing = Watch { open: false, ..OPEN };
        assert_eq!(clock.next(&limits, closing), None);
    }

    #[test]
    fn no_word_of_the_workers_moves_the_end_of_a_session_that_is_to_be_over() {
        let (limits, start) = (StreamLimits::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock::new(&limits, start);
        clock.end_within(Duration::from_secs(3), start);
        clock.expect_worker(Duration::from_secs(30), at(1));
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((3, Due::WorkerOverdue)));
        clock.end_within(Duration::from_secs(9), start);
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((3, Due::WorkerOverdue)));
        clock.end_within(Duration::from_secs(1), at(1));
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((2, Due::WorkerOverdue)));
    }

    #[test]
    fn a_worker_that_has_no_room_and_says_so_is_waited_for() {
        let (limits, start) = (StreamLimits::default(), Instant::now());
        let paused = Watch { reading: false, ..OPEN };
        let mut clock = Clock::new(&limits, start);
        clock.pinged(&limits, start + Duration::from_secs(60));
        clock.worker_spoke(start);
        clock.worker_blocked(start);
        clock.worker_spoke(start + Duration::from_secs(10));
        clock.worker_blocked(start + Duration::from_secs(11));
        assert_eq!(next_of(&clock, &limits, paused, start), Some((70, Due::WorkerOverdue)));
    }

    #[test]
    fn a_reader_that_takes_something_is_slow_and_not_stalled() {
        let (limits, start) = (StreamLimits::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock::new(&limits, start);
        clock.write_blocked(at(1), false);
        clock.write_blocked(at(5), false);
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((11, Due::WriteStalled)));
        clock.write_blocked(at(9), true);
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((19, Due::WriteStalled)));
        clock.write_done();
        assert_eq!(next_of(&clock, &limits, OPEN, start), Some((20, Due::Ping)));
    }
}
