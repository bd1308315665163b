//! The order to finish, as every task of a process sees it.

use tokio::sync::watch;

/// Tells a task that its process is to finish. Cheap to clone; may cross threads.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Gives the order; dropping it gives it too, since the one who could give it is gone.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

impl Shutdown {
    /// A new order, not yet given.
    pub fn new() -> (ShutdownTrigger, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger(sender), Shutdown(receiver))
    }

    /// Returns once the order is given, at once if it was given already.
    pub async fn requested(&self) {
        // An error means that the trigger is gone: that is the order as well.
        let _ = self.0.clone().wait_for(|given| *given).await;
    }

    /// Whether the order was given.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl ShutdownTrigger {
    /// Gives the order.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_reaches_those_who_wait_and_those_who_ask_later() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (trigger, shutdown) = Shutdown::new();
            assert!(!shutdown.is_requested());
            let waiter = shutdown.clone();
            let waiting = tokio::spawn(async move { waiter.requested().await });
            trigger.request();
            waiting.await.unwrap();
            shutdown.requested().await;
            assert!(shutdown.is_requested());
        });
    }

    #[test]
    fn a_trigger_that_is_gone_counts_as_the_order() {
        let (trigger, shutdown) = Shutdown::new();
        drop(trigger);
        assert!(shutdown.is_requested());
    }
}
