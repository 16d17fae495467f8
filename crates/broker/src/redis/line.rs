//! Those of this process who wait, in the order they came. Pure: time is given.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use crate::{BrokerError, Claim, Delivery};

/// A place in line: who came first has the smaller one.
pub(super) type Ticket = u64;
pub(super) type Answer = Result<Option<Delivery>, BrokerError>;

/// A bell may not have been heard, and another process's clock is not ours: nobody waits longer than this without a
/// look.
const UNWOKEN: Duration = Duration::from_secs(1);

/// What somebody waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) queues: Vec<String>,
    pub(super) consumer: String,
    pub(super) lease: Duration,
}

/// As many as there are futures of `claim`.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiters: BTreeMap<Ticket, Waiter>,
    /// Numbers tickets and bells, so that it tells what came after what.
    count: u64,
    /// What was taken for those who have left meanwhile, to be given back.
    unclaimed: Vec<Claim>,
}

#[derive(Debug)]
struct Waiter {
    wish: Arc<Wish>,
    answer: oneshot::Sender<Answer>,
    deadline: Instant,
    /// When there was last something to look for.
    rung: u64,
    /// Until which bell it was looked, if it was.
    looked: Option<u64>,
    /// When to look unwoken.
    next: Instant,
}

/// A look that is to be taken for whoever is first.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) ticket: Ticket,
    pub(super) wish: Arc<Wish>,
    /// It sees what came before this bell.
    bell: u64,
}

impl Line {
    pub(super) fn join(&mut self, wish: Wish, deadline: Instant, now: Instant) -> (Ticket, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        self.count += 1;
        let waiter = Waiter { wish: Arc::new(wish), answer, deadline, rung: self.count, looked: None, next: now };
        self.waiters.insert(self.count, waiter);
        (self.count, answered)
    }

    /// Steps out; what was given and not collected goes back.
    pub(super) fn leave(&mut self, ticket: Ticket, given: Option<Claim>) {
        self.waiters.remove(&ticket);
        self.unclaimed.extend(given);
    }

    /// What is to be given back.
    pub(super) fn unclaimed(&mut self) -> Vec<Claim> {
        mem::take(&mut self.unclaimed)
    }

    /// There may be something in `queue`, or in any.
    pub(super) fn ring(&mut self, queue: Option<&str>) {
        self.count += 1;
        let concerned = |waiter: &&mut Waiter| queue.is_none_or(|name| waiter.wish.queues.iter().any(|q| q == name));
        self.waiters.values_mut().filter(concerned).for_each(|waiter| waiter.rung = self.count);
    }

    /// Sends away those who have waited long enough, and says what is to be looked for now.
    pub(super) fn look(&mut self, now: Instant) -> Option<Look> {
        let late = |waiter: &Waiter| waiter.deadline <= now && !waiter.is_due(now);
        for (_, waiter) in self.waiters.extract_if(.., |_, waiter| late(waiter)) {
            // Nobody waits for it any more: that is no loss.
            let _ = waiter.answer.send(Ok(None));
        }
        let (ticket, waiter) = self.waiters.iter().find(|(_, waiter)| waiter.is_due(now))?;
        Some(Look { ticket: *ticket, wish: waiter.wish.clone(), bell: self.count })
    }

    /// When there will be something to do, if no bell rings before.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiters.values().map(|waiter| waiter.next.min(waiter.deadline)).min()
    }

    /// Nothing was there, for all who want the same. The next lease ends `after` this.
    pub(super) fn found_nothing(&mut self, look: &Look, after: Option<Duration>, now: Instant) {
        let next = now + after.unwrap_or(UNWOKEN).min(UNWOKEN);
        let same = self.waiters.values_mut().filter(|waiter| waiter.wish.queues == look.wish.queues);
        for waiter in same.filter(|waiter| waiter.rung <= look.bell) {
            waiter.looked = Some(look.bell);
            waiter.next = next;
        }
    }

    /// Something was there.
    pub(super) fn give(&mut self, ticket: Ticket, delivery: Delivery) {
        let refused = match self.waiters.remove(&ticket) {
            Some(waiter) => waiter.answer.send(Ok(Some(delivery))).err().and_then(Result::ok).flatten(),
            None => Some(delivery),
        };
        self.unclaimed.extend(refused.map(|delivery| delivery.claim));
    }

    /// Nobody can look.
    pub(super) fn fail(&mut self, error: &BrokerError) {
        for waiter in mem::take(&mut self.waiters).into_values() {
            let _ = waiter.answer.send(Err(error.clone()));
        }
    }
}

impl Waiter {
    /// Whether he has something to look for.
    fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| looked < self.rung) || (self.next <= now && now < self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(queues: &[&str]) -> Wish {
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        Wish { queues, consumer: "a".into(), lease: Duration::ZERO }
    }

    fn delivery(queue: &str) -> Delivery {
        let claim = Claim { queue: queue.into(), id: "1-0".into(), consumer: "a".into(), deliveries: 1 };
        Delivery { claim, body: String::new(), waited: Duration::ZERO }
    }

    /// All that is to be looked for, each time in vain.
    fn look_in_vain(line: &mut Line, now: Instant) -> Vec<Ticket> {
        std::iter::from_fn(|| {
            let look = line.look(now)?;
            line.found_nothing(&look, None, now);
            Some(look.ticket)
        })
        .collect()
    }

    #[test]
    fn who_came_first_is_looked_for_first_and_once_for_all_who_want_the_same() {
        let (mut line, now) = (Line::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        let (first, _a) = line.join(wish(&["q"]), later, now);
        let (_, _b) = line.join(wish(&["q"]), later, now);
        let (third, _c) = line.join(wish(&["q", "r"]), later, now);
        assert_eq!(look_in_vain(&mut line, now), [first, third]);
        line.ring(Some("r"));
        assert_eq!(look_in_vain(&mut line, now), [third]);
        line.ring(None);
        assert_eq!(look_in_vain(&mut line, now), [first, third]);
        assert_eq!(look_in_vain(&mut line, now + UNWOKEN), [first, third], "also unrung");
    }

    #[test]
    fn a_bell_during_a_look_is_not_lost() {
        let (mut line, now) = (Line::default(), Instant::now());
        let (ticket, _answer) = line.join(wish(&["q"]), now + UNWOKEN, now);
        let look = line.look(now).expect("he has just come");
        line.ring(Some("q"));
        line.found_nothing(&look, None, now);
        assert_eq!(look_in_vain(&mut line, now), [ticket]);
    }

    #[test]
    fn the_second_gets_what_the_first_left() {
        let (mut line, now) = (Line::default(), Instant::now());
        let (first, _a) = line.join(wish(&["q"]), now + UNWOKEN, now);
        let (second, _b) = line.join(wish(&["q"]), now + UNWOKEN, now);
        assert_eq!(line.look(now).map(|look| look.ticket), Some(first));
        line.give(first, delivery("q"));
        assert_eq!(line.look(now).map(|look| look.ticket), Some(second));
    }

    #[test]
    fn who_does_not_wait_is_looked_for_once() {
        let (mut line, now) = (Line::default(), Instant::now());
        let (ticket, mut answer) = line.join(wish(&["q"]), now, now);
        assert_eq!(look_in_vain(&mut line, now), [ticket]);
        assert_eq!(answer.try_recv(), Ok(Ok(None)));
        assert_eq!(line.next(), None, "nobody is left");
    }

    #[test]
    fn the_end_of_a_lease_is_looked_for_when_it_comes() {
        let (mut line, now, lease) = (Line::default(), Instant::now(), Duration::from_millis(300));
        let (ticket, _answer) = line.join(wish(&["q"]), now + 9 * UNWOKEN, now);
        let look = line.look(now).expect("he has just come");
        line.found_nothing(&look, Some(lease), now);
        assert_eq!(line.next(), Some(now + lease));
        assert_eq!(look_in_vain(&mut line, now + lease), [ticket]);
    }

    #[test]
    fn what_was_taken_for_who_has_left_is_given_back() {
        let (mut line, now) = (Line::default(), Instant::now());
        let (left, answer) = line.join(wish(&["q"]), now + UNWOKEN, now);
        line.leave(left, None);
        line.give(left, delivery("q"));
        let (deaf, _) = line.join(wish(&["q"]), now + UNWOKEN, now);
        line.give(deaf, delivery("r"));
        let queues: Vec<_> = line.unclaimed().into_iter().map(|claim| claim.queue).collect();
        assert_eq!(queues, ["q", "r"]);
        assert_eq!(line.unclaimed(), []);
        drop(answer);
    }
}
