//! The settings of tables that ask a server, by type: the one list of them.
//!
//! They stand in a file of the table's own, or in main.cf behind the table's name, as before Postfix 2.2 had such files:
//! `ldap:NAME` and `NAME_server_host`.

/// What all SQL tables have.
const SQL: &[&str] = &[
    "additional_conditions",
    "domain",
    "expansion_limit",
    "query",
    "result_format",
    "select_field",
    "table",
    "where_field",
];

/// What SQL tables with servers have besides; `timeout` is ours.
const SQL_SERVER: &[&str] =
    &["dbname", "hosts", "idle_interval", "password", "retry_interval", "timeout", "user"];

const MYSQL: &[&str] = &[
    "charset",
    "option_file",
    "option_group",
    "require_result_set",
    "tls_CAfile",
    "tls_CApath",
    "tls_cert_file",
    "tls_ciphers",
    "tls_key_file",
    "tls_verify_cert",
];

const LDAP: &[&str] = &[
    "bind",
    "bind_dn",
    "bind_mechs",
    "bind_pw",
    "cache",
    "cache_expiry",
    "cache_size",
    "chase_referrals",
    "debuglevel",
    "dereference",
    "domain",
    "expansion_limit",
    "leaf_result_attribute",
    "query_filter",
    "recursion_limit",
    "result_attribute",
    "result_filter",
    "result_format",
    "sasl_authz_id",
    "sasl_mechs",
    "sasl_minssf",
    "sasl_realm",
    "scope",
    "search_base",
    "server_host",
    "server_port",
    "size_limit",
    "special_result_attribute",
    "start_tls",
    "terminal_result_attribute",
    "timeout",
    "tls_ca_cert_dir",
    "tls_ca_cert_file",
    "tls_cert",
    "tls_cipher_suite",
    "tls_key",
    "tls_random_file",
    "tls_require_cert",
    "version",
];

const MEMCACHE: &[&str] = &[
    "backup",
    "data_size_limit",
    "domain",
    "flags",
    "key_format",
    "line_size_limit",
    "max_try",
    "memcache",
    "retry_pause",
    "timeout",
    "ttl",
];

/// The names of the settings that tables of a type have; none for types that have no settings.
pub fn of_kind(kind: &str) -> impl Iterator<Item = &'static str> {
    let groups: &[&[&str]] = match kind {
        "ldap" => &[LDAP],
        "memcache" => &[MEMCACHE],
        "mysql" => &[SQL, SQL_SERVER, MYSQL],
        "pgsql" => &[SQL, SQL_SERVER, &["encoding", "select_function"]],
        "sqlite" => &[SQL, &["dbpath"]],
        _ => &[],
    };
    groups.iter().copied().flatten().copied()
}
