//! The answer of a table, at once or later.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// What a table says about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The value.
    Found(String),
    /// The table has no such key.
    NotFound,
    /// The table could not be asked; the text says why. Whoever asked defers.
    TempFail(String),
}

/// A lookup under way.
pub enum LookupFuture<'a> {
    /// The answer is here.
    Ready(Option<Lookup>),
    /// Somebody else is being asked.
    Waiting(Pin<Box<dyn Future<Output = Lookup> + Send + 'a>>),
}

impl From<Lookup> for LookupFuture<'_> {
    fn from(answer: Lookup) -> Self {
        LookupFuture::Ready(Some(answer))
    }
}

impl Future for LookupFuture<'_> {
    type Output = Lookup;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Lookup> {
        match self.get_mut() {
            LookupFuture::Ready(answer) => {
                Poll::Ready(answer.take().expect("a future is not polled after its end"))
            }
            LookupFuture::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

/// The result of a future that does not wait; nothing where it does.
pub fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// The result of a future, for commands that may block their thread; it needs no executor.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    thread_local! {
        // One for all lookups of the thread: most answers are there at once, and making it would be half of the work.
        static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
    }
    let mut future = pin!(future);
    WAKER.with(|waker| {
        loop {
            match future.as_mut().poll(&mut Context::from_waker(waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => thread::park(),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_another_thread_is_waited_for() {
        let (answer, answered) = std::sync::mpsc::channel();
        let mut started = false;
        let value = wait(std::future::poll_fn(|cx| {
            if !started {
                started = true;
                let (waker, answer) = (cx.waker().clone(), answer.clone());
                thread::spawn(move || {
                    let _ = answer.send(7);
                    waker.wake();
                });
            }
            answered.try_recv().map_or(Poll::Pending, Poll::Ready)
        }));
        assert_eq!(value, 7);
    }
}
