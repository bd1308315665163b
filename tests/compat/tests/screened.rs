//! The clients that one program's postscreen knows are known to the other's.

use compat::both;

/// Settings, and shell functions: be a client that waits for its greeting.
const HELPERS: &str = r#"
visit() {
    exec 3<>/dev/tcp/127.0.0.1/25
    while read -r -t 15 line <&3; do case $line in "220 "*) break ;; esac; done
    printf 'QUIT\r\n' >&3; cat <&3 >/dev/null; exec 3>&-
}
told() { grep -o 'PASS [A-Z]*' /var/log/mail.log | tail -1; }
known() { [ "$(told)" = "PASS $1" ]; }
written() { postmap -s "$1" | grep -q '^127.0.0.1'; }
# It closes its cache in order only by itself, or by this signal.
postfix_ends() {
    for p in /proc/[0-9]*; do grep -qs '^postscreen$' $p/comm && kill "${p#/proc/}"; done
    postfix stop </dev/null >/dev/null 2>&1; until_ok silent
}
sed -i '/^smtp inet/d' /etc/postfix/master.cf
cat >>/etc/postfix/master.cf <<'END'
smtp inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
END
cat >>/etc/postfix/main.cf <<'END'
postscreen_access_list =
postscreen_greet_wait = 2s
smtpd_peername_lookup = no
END
"#;

#[test]
fn postfix_goes_on_with_an_lmdb_cache_of_ours_and_we_with_its() {
    let script = r#"
echo 'postscreen_cache_map = lmdb:/var/lib/postfix/screened' >>/etc/postfix/main.cf
posthaste_serves; visit; until_ok known NEW; posthaste_ends; told
until_ok written lmdb:/var/lib/postfix/screened
postfix_serves; visit; until_ok known OLD; postfix_ends; told
rm /var/lib/postfix/screened.lmdb
postfix_serves; visit; until_ok known NEW; postfix_ends; told
posthaste_serves; visit; until_ok known OLD; posthaste_ends; told
"#;
    let Some(said) = both::run(&format!("{HELPERS}{script}")) else { return };
    let told: Vec<&str> = said.lines().filter(|line| line.starts_with("PASS ")).collect();
    assert_eq!(told, ["PASS NEW", "PASS OLD", "PASS NEW", "PASS OLD"], "{said}");
}

#[test]
fn a_btree_cache_of_postfix_is_read_and_left_as_it_is() {
    let script = r#"
echo 'postscreen_cache_map = btree:/var/lib/postfix/screened' >>/etc/postfix/main.cf
postfix_serves; visit; until_ok known NEW; postfix_ends; told
before=$(md5sum </var/lib/postfix/screened.db)
posthaste_serves; visit; until_ok known OLD; posthaste_ends; told
[ "$before" = "$(md5sum </var/lib/postfix/screened.db)" ] && echo untouched
"#;
    let Some(said) = both::run(&format!("{HELPERS}{script}")) else { return };
    let told: Vec<&str> = said.lines().filter(|line| line.starts_with("PASS ")).collect();
    assert_eq!(told, ["PASS NEW", "PASS OLD"], "{said}");
    assert!(said.contains("untouched"), "{said}");
}
