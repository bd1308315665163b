//! `posthaste install` and `uninstall` in trees of their own: modes, what is refused, kills on the way.

use peers::{have, have_worlds, in_world};

#[test]
fn what_is_installed_can_be_taken_back_and_nothing_else_is_touched() {
    if !have_worlds() || !have("strace") {
        return;
    }
    let text = in_world("posthaste", "install.py", &[]);
    assert!(text.ends_with("done\n"), "{text}");
}
