//! Many sessions, each begun when it is due.

use std::{panic::resume_unwind, pin::pin};

use tokio::{
    select,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::schedule::Arrivals;

/// Runs a task for each arrival, begun when it is due whatever has become of the others, and waits for all. `make` is given the
/// number of the arrival and when it was due.
///
/// # Panics
/// When a task did.
pub async fn crowd<T, F>(arrivals: Arrivals, mut make: impl FnMut(usize, Instant) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut done = Vec::with_capacity(arrivals.sessions);
    // Jitter may put one before those of lower numbers.
    let mut due: Vec<(Instant, usize)> = (0..arrivals.sessions).map(|number| (arrivals.due(number), number)).collect();
    due.sort_unstable();
    let mut due = due.into_iter();
    let mut next = due.next();
    let mut alarm = pin!(sleep_until(next.map_or(arrivals.start, |(when, _)| when)));
    loop {
        select! {
            () = &mut alarm, if next.is_some() => {
                if let Some((when, number)) = next {
                    tasks.spawn(make(number, when));
                }
                next = due.next();
                if let Some((when, _)) = next {
                    alarm.as_mut().reset(when);
                }
            }
            Some(result) = tasks.join_next(), if !tasks.is_empty() => match result {
                Ok(outcome) => done.push(outcome),
                Err(error) => resume_unwind(error.into_panic()),
            },
            else => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn jitter_makes_none_wait_for_another() {
        let (start, ramp) = (Instant::now(), Duration::from_secs(1));
        let arrivals = Arrivals { start, sessions: 200, ramp, jitter: Duration::from_millis(100) };
        let late = crowd(arrivals, |_, due| async move { Instant::now() - due }).await;
        assert_eq!(late.len(), 200);
        assert!(late.iter().all(|late| *late <= Duration::from_millis(1)), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_session_puts_off_no_other() {
        let start = Instant::now();
        let ramp = Duration::from_secs(9);
        let arrivals = Arrivals { start, sessions: 10, ramp, jitter: Duration::ZERO };
        let late = crowd(arrivals, |n, due| async move {
            let late = Instant::now() - due;
            tokio::time::sleep(Duration::from_secs(if n == 0 { 100 } else { 1 })).await;
            late
        });
        let late = late.await;
        assert_eq!(late.len(), 10);
        assert!(late.iter().all(|late| *late <= Duration::from_millis(1)), "{late:?}");
        assert_eq!(start.elapsed().as_secs(), 100);
    }
}
