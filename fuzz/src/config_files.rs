//! main.cf and master.cf: what any text of either must keep to.

use config::{Config, Host};
use std::path::Path;

/// Reads the two texts and checks them: nothing panics, each mistake and each warning names its place in `file`.
pub fn read(main_cf: &str, master_cf: &str, file: &str) -> Config {
    let (config, errors) =
        Config::survey_texts(Path::new("/nonexistent"), main_cf, master_cf, Host::default());
    let place = format!("/nonexistent/{file}:");
    for error in errors.iter().chain(config.warnings()) {
        let shown = error.to_string();
        assert!(shown.starts_with(&place), "{shown}");
    }
    for finding in config.check() {
        assert!(!finding.to_string().is_empty());
    }
    config
}
