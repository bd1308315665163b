//! Index files that one program writes and the other reads, changes and lists.

use compat::both;

/// 12,000 entries, some with long keys and some with values of several pages, and their keys.
const SOURCE: &str = r#"
cd /tmp
awk 'BEGIN { for (n = 0; n < 12000; n++) {
    domain = sprintf("%*s", n % 200 + 1, ""); gsub(/ /, "d", domain)
    value = sprintf("%*s", n % 1000 == 7 ? 9000 : n % 90 + 1, ""); gsub(/ /, "v", value)
    print "user" n "@" domain ".example.org " value n } }' </dev/null >t
cut -d' ' -f1 t >keys
values() { "$@" | md5sum | cut -c1-32; }
same() { [ "$2" = "$3" ] && [ "$2" != d41d8cd98f00b204e9800998ecf8427e ] && echo "same $1" || echo "DIFFERENT $1"; }
ours() { posthaste postmap "$@"; }
"#;

/// The parts that came out the same; the test fails where one did not.
fn same(script: &str) -> Option<usize> {
    let said = both::run(&format!("{SOURCE}{script}"))?;
    assert!(!said.contains("DIFFERENT"), "{said}");
    Some(said.lines().filter(|line| line.starts_with("same ")).count())
}

#[test]
fn lmdb_and_cdb_files_of_each_program_are_read_by_the_other() {
    let Some(same) = same(
        r#"
for kind in lmdb cdb; do
    ours $kind:t
    cp t.$kind ours.$kind
    same "ours in postfix, $kind" $(postmap -q - $kind:t <keys | values cat) $(ours -q - $kind:t <keys | values cat)
    postmap $kind:t
    same "postfix's in ours, $kind" $(ours -q - $kind:t <keys | values cat) $(ours -q - $kind:ours <keys | values cat)
done
same "bytes of cdb" $(values cat t.cdb) $(values cat ours.cdb)
"#,
    ) else {
        return;
    };
    assert_eq!(same, 5);
}

#[test]
fn an_lmdb_file_of_ours_is_changed_by_postfix_and_by_us_again() {
    let Some(same) = same(
        r#"
ours lmdb:t
sed -n 3000,4500p keys | postmap -d - lmdb:t
same "deleted by postfix" $(values postmap -s lmdb:t) $(values ours -s lmdb:t)
for n in $(seq 300); do echo "new$n $(printf %$((n * 20))d 0)"; done | postmap -i lmdb:t
same "added by postfix" $(values postmap -s lmdb:t) $(values ours -s lmdb:t)
tail -n 7000 keys | ours -d - lmdb:t
echo 'zz 1' | ours -i lmdb:t
same "changed by us" $(values postmap -s lmdb:t) $(values ours -s lmdb:t)
sed -n 1,2000p keys | postmap -d - lmdb:t
same "and by postfix" $(values postmap -s lmdb:t) $(values ours -s lmdb:t)
"#,
    ) else {
        return;
    };
    assert_eq!(same, 4);
}

#[test]
fn berkeley_db_files_that_postfix_changes_in_place_are_read_and_never_written() {
    let Some(same) = same(
        r#"
for kind in hash btree; do
    postmap $kind:t
    same "made, $kind" $(values postmap -s $kind:t) $(values ours -s $kind:t)
    same "asked, $kind" $(postmap -q - $kind:t <keys | values cat) $(ours -q - $kind:t <keys | values cat)
    sed -n 3000,9000p keys | postmap -d - $kind:t
    for n in $(seq 300); do echo "new$n $(printf %$((n * 20))d 0)"; done | postmap -i $kind:t
    same "changed, $kind" $(values postmap -s $kind:t) $(values ours -s $kind:t)
    same "asked again, $kind" $(postmap -q - $kind:t <keys | values cat) $(ours -q - $kind:t <keys | values cat)
    before=$(values cat t.db)
    echo 'only-ours 1' | ours -i $kind:t
    same "left alone, $kind" $before $(values cat t.db)
    same "and taken over, $kind" $({ postmap -s $kind:t; echo 'only-ours	1'; } | sort | values cat) $(ours -s $kind:t 2>/dev/null | sort | values cat)
    rm t.db t.phx
done
"#,
    ) else {
        return;
    };
    assert_eq!(same, 12);
}
