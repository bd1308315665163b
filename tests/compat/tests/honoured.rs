//! Each test that is named for an honoured parameter exists and sets that parameter.

#[test]
fn the_tests_named_for_honoured_parameters_exist_and_set_them() {
    let wrong: Vec<String> = config::honoured::all()
        .filter_map(|(name, test)| compat::honoured::check(name, test).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
