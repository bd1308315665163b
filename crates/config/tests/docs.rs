//! docs/parameters.md says what the entries say.

use std::path::Path;

#[test]
fn the_page_of_parameters_is_what_the_entries_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/parameters.md");
    let page = config::parameters_page().unwrap_or_else(|why| panic!("{why}"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).expect("docs/ can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/parameters.md is out of date: UPDATE=1 cargo test -p config --test docs");
}
