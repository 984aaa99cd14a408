//! Tasks that are done by whoever comes first: threads of a pool, and whoever has set them.
//!
//! # Invariants
//!
//! * **Once**: a task is taken out of the queue in one critical section.
//! * **No wait for a thread to become free**: who has set the tasks does what nobody has begun, and so
//!   waits only for threads that are at work on them.
//! * **Nothing is left**: when [`do_all`] returns, every task is done and gone. A thread of the pool that
//!   comes later finds an empty queue.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use stratal_sst::BlockPool;
use stratal_types::sync::{Condvar, Mutex};

/// Threads that help whoever waits for a job. The job does not wait for any of them to become free.
#[derive(Clone, Debug)]
pub struct Helpers {
    /// How to reach them.
    pub pool: Arc<dyn BlockPool>,
    /// How many they are, beside the one that waits.
    pub count: usize,
}

/// Something to be done, on any thread.
pub(crate) type Task<T> = Box<dyn FnOnce() -> T + Send>;

type Outcome<T> = Result<T, Box<dyn Any + Send>>;

struct Crew<T> {
    state: Mutex<State<T>>,
    /// The last task that was under way is done.
    rests: Condvar,
}

struct State<T> {
    waiting: VecDeque<(usize, Task<T>)>,
    /// Tasks under way.
    running: usize,
    outcomes: Vec<Option<Outcome<T>>>,
}

/// Does all of `tasks`, on this thread and on those of `pool`, and gives what came of them in their
/// order. Without a pool, does one after the other.
///
/// If tasks panic, the others are done all the same, and then this thread panics as the first of them
/// did.
pub(crate) fn do_all<T: Send + 'static>(
    pool: Option<&dyn BlockPool>,
    tasks: Vec<Task<T>>,
) -> Vec<T> {
    let count = tasks.len();
    let state = State {
        waiting: tasks.into_iter().enumerate().collect(),
        running: 0,
        outcomes: (0..count).map(|_| None).collect(),
    };
    let crew = Arc::new(Crew { state: Mutex::new(state), rests: Condvar::new() });
    if let Some(pool) = pool {
        for _ in 1..count {
            let helper = Arc::clone(&crew);
            pool.spawn(Box::new(move || helper.work()));
        }
    }
    crew.work();
    let mut state = crew.state.lock();
    while state.running > 0 {
        crew.rests.wait(&mut state);
    }
    let outcomes = std::mem::take(&mut state.outcomes);
    drop(state);
    let done = outcomes.into_iter().flatten().collect::<Result<Vec<T>, _>>();
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

impl<T> Crew<T> {
    /// Does tasks until none waits.
    fn work(&self) {
        let mut state = self.state.lock();
        while let Some((at, task)) = state.waiting.pop_front() {
            state.running += 1;
            drop(state);
            // What a task leaves behind in a panic is its own affair: it is not looked at any more.
            let outcome = catch_unwind(AssertUnwindSafe(task));
            state = self.state.lock();
            state.running -= 1;
            if let Some(place) = state.outcomes.get_mut(at) {
                *place = Some(outcome);
            }
            if state.running == 0 {
                self.rests.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[derive(Debug)]
    struct Threads;

    impl BlockPool for Threads {
        fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
            thread::spawn(job);
        }
    }

    /// Takes jobs and never does them.
    #[derive(Debug)]
    struct Nobody;

    impl BlockPool for Nobody {
        fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
            drop(job);
        }
    }

    #[test]
    fn what_came_of_tasks_is_given_in_their_order() {
        for pool in [None, Some(&Threads as &dyn BlockPool), Some(&Nobody)] {
            for count in [0, 1, 7] {
                let tasks = (0..count).map(|n| Box::new(move || n * n) as Task<usize>);
                let squares: Vec<_> = (0..count).map(|n| n * n).collect();
                assert_eq!(do_all(pool, tasks.collect()), squares, "{pool:?}");
            }
        }
    }

    #[test]
    fn a_task_that_panics_waits_for_the_others_and_is_heard_of() {
        for pool in [None, Some(&Threads as &dyn BlockPool)] {
            let done = Arc::new(AtomicUsize::new(0));
            let task = |n: usize| {
                let done = Arc::clone(&done);
                Box::new(move || {
                    assert!(n != 1, "task {n}");
                    done.fetch_add(1, Ordering::SeqCst);
                }) as Task<()>
            };
            let tasks = (0..5).map(task).collect();
            let panic = catch_unwind(AssertUnwindSafe(|| do_all(pool, tasks))).unwrap_err();
            assert_eq!(panic.downcast_ref::<String>().unwrap(), "task 1");
            assert_eq!((done.load(Ordering::SeqCst), Arc::strong_count(&done)), (4, 1));
        }
    }
}
