//! What the tests of both resolvers share.

use hickory_proto::rr::Name;
use std::future::Future;
use std::time::Duration;
use tokio::task::LocalSet;

/// Runs a test with its servers, for half a minute at most.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(30), test).await.expect("the test ends")
    })
}

/// A name as the wire has it.
pub fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}
