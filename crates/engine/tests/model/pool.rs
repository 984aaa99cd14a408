//! Who helps with jobs: nobody, the thread itself, or others.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};

use stratal_engine::BlockPool;
use stratal_testkit::Rng;

type Task = Box<dyn FnOnce() + Send>;

pub(crate) fn draw(rng: &mut Rng) -> Option<Arc<dyn BlockPool>> {
    match rng.below(4) {
        0 => Some(Arc::new(AtOnce)),
        1 => Some(Arc::new(Threads::new())),
        _ => None,
    }
}

/// Does everything before it returns.
#[derive(Debug)]
struct AtOnce;

impl BlockPool for AtOnce {
    fn spawn(&self, job: Task) {
        job();
    }
}

/// Two threads, which end with it.
#[derive(Debug)]
struct Threads {
    tasks: Mutex<Sender<Task>>,
}

impl Threads {
    fn new() -> Self {
        let (sender, receiver) = channel::<Task>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..2 {
            let receiver = Arc::clone(&receiver);
            std::thread::spawn(move || {
                while let Some(task) = next(&receiver) {
                    task();
                }
            });
        }
        Self { tasks: Mutex::new(sender) }
    }
}

fn next(tasks: &Mutex<Receiver<Task>>) -> Option<Task> {
    tasks.lock().unwrap().recv().ok()
}

impl BlockPool for Threads {
    fn spawn(&self, job: Task) {
        self.tasks.lock().unwrap().send(job).unwrap();
    }
}
