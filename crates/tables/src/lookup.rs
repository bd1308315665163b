//! The answer of a table, at once or later.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

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
