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
    let mut alarm = pin!(sleep_until(arrivals.due(0)));
    let mut next = 0;
    loop {
        select! {
            () = &mut alarm, if next < arrivals.sessions => {
                tasks.spawn(make(next, arrivals.due(next)));
                next += 1;
                alarm.as_mut().reset(arrivals.due(next));
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
