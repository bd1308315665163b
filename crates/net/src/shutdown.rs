//! The order to finish, as every task of a process sees it.

use tokio::sync::watch;

/// Tells a task that its process is to finish. Cheap to clone; may cross threads.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Order>);

/// Gives the order; dropping it means [`ShutdownTrigger::request`], since the one who could give it is gone.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<Order>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    GoOn,
    Retire,
    Stop,
}

impl Shutdown {
    /// A new order, not yet given.
    pub fn new() -> (ShutdownTrigger, Shutdown) {
        let (sender, receiver) = watch::channel(Order::GoOn);
        (ShutdownTrigger(sender), Shutdown(receiver))
    }

    /// Returns once the order is given, at once if it was given already: nothing new is to be begun.
    pub async fn requested(&self) {
        self.at_least(Order::Retire).await;
    }

    /// Returns once what is under way is to be brought to an end, too; who only retires lets it take its time.
    pub async fn must_end(&self) {
        self.at_least(Order::Stop).await;
    }

    async fn at_least(&self, order: Order) {
        // An error means that the trigger is gone: that is the order as well.
        let _ = self.0.clone().wait_for(|given| *given >= order).await;
    }

    /// Whether it was given because another process has taken over, and no order to stop came since.
    pub fn only_retires(&self) -> bool {
        *self.0.borrow() == Order::Retire
    }

    /// Whether the order was given.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() > Order::GoOn || self.0.has_changed().is_err()
    }
}

impl ShutdownTrigger {
    /// Gives the order to finish.
    pub fn request(&self) {
        self.0.send_replace(Order::Stop);
    }

    /// Gives the order to begin nothing new, since another process has taken over. An order to finish stays one.
    pub fn retire(&self) {
        self.0.send_if_modified(|given| {
            let retires = *given < Order::Retire;
            *given = (*given).max(Order::Retire);
            retires
        });
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
    fn who_retires_need_not_end_what_is_under_way() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (trigger, shutdown) = Shutdown::new();
            trigger.retire();
            shutdown.requested().await;
            let waiter = shutdown.clone();
            let waiting = tokio::spawn(async move { waiter.must_end().await });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            trigger.request();
            waiting.await.unwrap();
            trigger.retire();
            shutdown.must_end().await;
        });
    }

    #[test]
    fn a_trigger_that_is_gone_counts_as_the_order() {
        let (trigger, shutdown) = Shutdown::new();
        drop(trigger);
        assert!(shutdown.is_requested());
    }
}
