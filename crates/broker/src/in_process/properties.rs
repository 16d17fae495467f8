//! Random histories of messages, consumers and time, held against a model that looks everything up in one list.

use std::{sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*};
use tokio::{sync::Notify, time::Instant};

use super::{
    queue::Ticket,
    state::{State, Wish},
};
use crate::{BrokerError, Claim, Delivery};

const QUEUES: [&str; 3] = ["a", "b", "c"];
const CONSUMERS: [&str; 3] = ["x", "y", "z"];
const LIMIT: usize = 12;

/// What may happen. Claims and waiters are meant by their number, modulo how many there were.
#[derive(Debug, Clone)]
enum Event {
    Publish {
        queue: usize,
    },
    /// Takes what is ready; lines up if nothing is and it may wait.
    Claim {
        queues: Vec<usize>,
        consumer: usize,
        lease: Duration,
        waits: bool,
    },
    Collect {
        waiter: usize,
    },
    Leave {
        waiter: usize,
    },
    Renew {
        claim: usize,
        lease: Duration,
    },
    Acknowledge {
        claim: usize,
    },
    Release {
        claim: usize,
    },
    Pass {
        time: Duration,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let up_to = |limit: u64| (0..=limit).prop_map(Duration::from_millis);
    let claim = (vec(0..QUEUES.len(), 0..4), 0..CONSUMERS.len(), up_to(20), any::<bool>());
    prop_oneof![
        6 => (0..QUEUES.len()).prop_map(|queue| Event::Publish { queue }),
        8 => claim.prop_map(|(queues, consumer, lease, waits)| Event::Claim { queues, consumer, lease, waits }),
        3 => any::<usize>().prop_map(|waiter| Event::Collect { waiter }),
        2 => any::<usize>().prop_map(|waiter| Event::Leave { waiter }),
        3 => (any::<usize>(), up_to(20)).prop_map(|(claim, lease)| Event::Renew { claim, lease }),
        4 => any::<usize>().prop_map(|claim| Event::Acknowledge { claim }),
        3 => any::<usize>().prop_map(|claim| Event::Release { claim }),
        4 => up_to(12).prop_map(|time| Event::Pass { time }),
    ]
}

#[derive(Debug)]
struct Message {
    queue: usize,
    published: Instant,
    deliveries: u32,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// Smaller goes first: what came back has negative numbers or none greater than those of new messages.
    Ready {
        order: (bool, i64),
    },
    Held {
        consumer: usize,
        until: Instant,
    },
    Gone,
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    queues: Vec<usize>,
    consumer: usize,
    lease: Duration,
    stands: Stands,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stands {
    InLine,
    /// Was given this message, in this delivery of it.
    Given(usize, u32),
    Away,
}

struct Model {
    state: State,
    now: Instant,
    messages: Vec<Message>,
    waiters: Vec<Waiter>,
    /// All claims there ever were, and which message they are for.
    claims: Vec<(Claim, usize)>,
    served: [usize; QUEUES.len()],
    step: i64,
}

impl Model {
    fn new() -> Self {
        Self {
            state: State::new(LIMIT),
            now: Instant::now(),
            messages: Vec::new(),
            waiters: Vec::new(),
            claims: Vec::new(),
            served: [0; QUEUES.len()],
            step: 0,
        }
    }

    fn next(&mut self) -> i64 {
        self.step += 1;
        self.step
    }

    fn ready(&self, queue: usize) -> Option<usize> {
        let ready = self.messages.iter().enumerate().filter(|(_, message)| message.queue == queue);
        let ready = ready.filter_map(|(number, message)| match message.place {
            Place::Ready { order } => Some((order, number)),
            _ => None,
        });
        ready.min().map(|(_, number)| number)
    }

    fn give(&mut self, number: usize, consumer: usize, lease: Duration) {
        self.served[self.messages[number].queue] = self.next() as usize;
        let until = self.now + lease;
        let message = &mut self.messages[number];
        message.deliveries += 1;
        message.place = Place::Held { consumer, until };
    }

    fn back(&mut self, number: usize) {
        let order = (false, self.next());
        self.messages[number].place = Place::Ready { order };
    }

    /// Ends leases, in the order of their ends, and serves the line of each queue.
    fn settle(&mut self) {
        for queue in 0..QUEUES.len() {
            loop {
                let held = self.messages.iter().enumerate().filter(|(_, message)| message.queue == queue);
                let mut over: Vec<_> = held
                    .filter_map(|(number, message)| match message.place {
                        Place::Held { until, .. } if until <= self.now => Some((until, number)),
                        _ => None,
                    })
                    .collect();
                over.sort_unstable();
                over.into_iter().for_each(|(_, number)| self.back(number));
                let first = self.waiters.iter().position(|w| w.stands == Stands::InLine && w.queues.contains(&queue));
                let (Some(first), Some(number)) = (first, self.ready(queue)) else { break };
                self.give(number, self.waiters[first].consumer, self.waiters[first].lease);
                self.waiters[first].stands = Stands::Given(number, self.messages[number].deliveries);
            }
        }
    }

    /// The message of a claim that still stands.
    fn standing(&self, claim: &Claim, number: usize) -> bool {
        let message = &self.messages[number];
        let holds = |consumer: usize| CONSUMERS[consumer] == claim.consumer && message.deliveries == claim.deliveries;
        matches!(message.place, Place::Held { consumer, .. } if holds(consumer))
    }

    fn delivered(&mut self, delivery: &Delivery, number: usize, consumer: usize, deliveries: u32) {
        let message = &self.messages[number];
        assert_eq!(delivery.body, number.to_string());
        assert_eq!(delivery.claim.queue, QUEUES[message.queue]);
        assert_eq!(delivery.claim.consumer, CONSUMERS[consumer]);
        assert_eq!(delivery.claim.deliveries, deliveries);
        self.claims.push((delivery.claim.clone(), number));
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Publish { queue } => self.publish(queue),
            Event::Claim { queues, consumer, lease, waits } => self.claim(queues, consumer, lease, waits),
            Event::Collect { waiter } => {
                let Some(waiter) = waiter.checked_rem(self.waiters.len()) else { return };
                let Waiter { ticket, consumer, stands, .. } = self.waiters[waiter];
                let collected = self.state.collect(ticket, self.now);
                match stands {
                    Stands::Given(number, deliveries) => {
                        self.delivered(&collected.expect("it was given"), number, consumer, deliveries);
                        self.waiters[waiter].stands = Stands::Away;
                    }
                    _ => assert_eq!(collected, None),
                }
            }
            Event::Leave { waiter } => {
                let Some(waiter) = waiter.checked_rem(self.waiters.len()) else { return };
                self.state.leave(self.waiters[waiter].ticket, self.now);
                self.leave(waiter);
            }
            Event::Renew { claim, lease } => self.with(claim, |model, claim, number| {
                let stands = model.standing(claim, number);
                assert_eq!(model.state.renew(claim, lease, model.now), stands);
                if let (true, Place::Held { until, .. }) = (stands, &mut model.messages[number].place) {
                    *until = model.now + lease;
                }
            }),
            Event::Acknowledge { claim } => self.with(claim, |model, claim, number| {
                let stands = model.standing(claim, number);
                assert_eq!(model.state.acknowledge(claim, model.now), stands);
                if stands {
                    model.messages[number].place = Place::Gone;
                }
            }),
            Event::Release { claim } => self.with(claim, |model, claim, number| {
                let stands = model.standing(claim, number);
                assert_eq!(model.state.release(claim, model.now), stands);
                if stands {
                    model.back(number);
                }
            }),
            Event::Pass { time } => self.now += time,
        }
    }

    fn with(&mut self, claim: usize, act: impl FnOnce(&mut Self, &Claim, usize)) {
        if let Some(claim) = claim.checked_rem(self.claims.len()) {
            let (claim, number) = self.claims[claim].clone();
            act(self, &claim, number);
        }
    }

    fn publish(&mut self, queue: usize) {
        let number = self.messages.len();
        let published = self.state.publish(QUEUES[queue], number.to_string(), self.now);
        if self.messages.iter().filter(|message| message.place != Place::Gone).count() == LIMIT {
            assert_eq!(published, Err(BrokerError::Full { limit: LIMIT }));
            return;
        }
        assert_eq!(published, Ok(()));
        let place = Place::Ready { order: (true, self.next()) };
        self.messages.push(Message { queue, published: self.now, deliveries: 0, place });
    }

    fn claim(&mut self, queues: Vec<usize>, consumer: usize, lease: Duration, waits: bool) {
        let names: Vec<_> = queues.iter().map(|queue| QUEUES[*queue].to_owned()).collect();
        let taken = self.state.take(&names, CONSUMERS[consumer], lease, self.now);
        let ready = queues.iter().filter_map(|queue| Some((self.served[*queue], self.ready(*queue)?)));
        match (ready.min_by_key(|(served, _)| *served), taken) {
            (Some((_, number)), taken) => {
                let delivery = taken.expect("something was ready");
                self.give(number, consumer, lease);
                let waited = self.now - self.messages[number].published;
                assert_eq!(delivery.waited, waited);
                self.delivered(&delivery, number, consumer, self.messages[number].deliveries);
            }
            (None, Some(delivery)) => panic!("nothing was ready, and there came {delivery:?}"),
            (None, None) if waits => {
                let wish = Wish { queues: names, consumer: CONSUMERS[consumer].into(), lease };
                let ticket = self.state.wait(wish, Arc::new(Notify::new()));
                self.waiters.push(Waiter { ticket, queues, consumer, lease, stands: Stands::InLine });
            }
            (None, None) => {}
        }
    }

    /// What was given and not collected goes back as if nothing had been: before all the rest.
    fn leave(&mut self, waiter: usize) {
        let Stands::Given(number, deliveries) = self.waiters[waiter].stands else {
            self.waiters[waiter].stands = Stands::Away;
            return;
        };
        self.waiters[waiter].stands = Stands::Away;
        let holds = |consumer| consumer == self.waiters[waiter].consumer;
        let message = &self.messages[number];
        if message.deliveries == deliveries && matches!(message.place, Place::Held { consumer, .. } if holds(consumer))
        {
            let order = (false, -self.next());
            self.messages[number].deliveries -= 1;
            self.messages[number].place = Place::Ready { order };
        }
    }

    fn check(&mut self) {
        let stats = self.state.stats(self.now);
        self.settle();
        for (queue, name) in QUEUES.iter().enumerate() {
            let of_queue = || self.messages.iter().filter(move |message| message.queue == queue);
            let ready = || of_queue().filter(|message| matches!(message.place, Place::Ready { .. }));
            let held = of_queue().filter(|message| matches!(message.place, Place::Held { .. })).count();
            let oldest = ready().map(|message| self.now - message.published).max();
            let seen = stats.iter().find(|stats| stats.queue == *name);
            let seen = seen.map_or((0, 0, None), |stats| (stats.ready, stats.claimed, stats.oldest));
            assert_eq!(seen, (ready().count(), held, oldest), "queue {name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn every_history_is_that_of_the_model(events in vec(event(), 0..120)) {
        let mut model = Model::new();
        for event in events {
            model.step(event);
            model.check();
        }
    }
}
