//! What the SQL tables share: the query, the old forms of it, and the way from a key to an answer.
//!
//! Postfix: mysql_table(5), pgsql_table(5), sqlite_table(5). The key's parts are put into the text of the
//! administrator's query, since they stand within its quotes; each server says how text is escaped there.

use crate::expansion::{Expansion, Template, TooMuch};
use crate::lists::Unanswered;
use crate::lookup::Lookup;
#[cfg(any(feature = "mysql", feature = "pgsql"))]
use crate::pool::Limits;
use crate::table::Settings;
use crate::table_config::TableConfig;
use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer may take; a query that needs longer keeps a client of ours waiting for his reply.
pub(crate) const QUERY_MAX: Duration = Duration::from_secs(10);

/// Bytes of the fields that one query may give; what comes beyond is not kept, and the lookup fails.
const FIELDS_BYTES_MAX: usize = 16 << 20;

/// Fields that one query may give, as [`FIELDS_BYTES_MAX`].
const FIELDS_MAX: usize = 1_000_000;

/// What a SQL table makes of a key, whichever server it asks.
pub(crate) struct Sql {
    spec: String,
    settings: Settings,
    query: Arc<Template>,
    expansion: Expansion,
}

/// A query that waits for the parts of a key, escaped as the server wants it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    query: Arc<Template>,
    key: String,
}

impl Question {
    /// The text of the query.
    pub(crate) fn text<'a>(&'a self, escape: impl Fn(&'a str) -> Cow<'a, str>) -> String {
        self.query.for_key(&self.key, escape).expect("a key that lacks something is not asked for")
    }
}

/// The fields that a query gave, row by row.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    texts: Vec<String>,
    bytes: usize,
    too_many: bool,
    not_text: bool,
}

impl Fields {
    /// Adds a field. NULL, which is nothing, is left out; bytes that are no UTF-8 make the lookup fail, as in Postfix.
    pub(crate) fn push(&mut self, field: Option<&[u8]>) {
        let Some(field) = field else { return };
        self.bytes = self.bytes.saturating_add(field.len());
        if self.bytes > FIELDS_BYTES_MAX || self.texts.len() >= FIELDS_MAX {
            self.too_many = true;
            return;
        }
        match std::str::from_utf8(field) {
            Ok(text) => self.texts.push(text.to_owned()),
            Err(_) => self.not_text = true,
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Fields { too_many: true, .. } => {
                Err(format!("expected at most {FIELDS_MAX} fields and {FIELDS_BYTES_MAX} bytes, found more"))
            }
            Fields { not_text: true, .. } => Err("expected results in UTF-8, found other bytes".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Sql {
    /// Reads the query and what all such tables have; nothing where something is wrong, which is noted. `function` is
    /// the setting that may name a function instead of a query, if there is one.
    pub(crate) fn read(config: &mut TableConfig<'_>, function: Option<&'static str>) -> Option<Sql> {
        let query = query(config, function);
        let query = query.map(|text| Template::parse(&text).map_err(|text| config.wrong("query", text)));
        let expansion = config.expansion();
        Some(Sql {
            spec: config.spec().to_owned(),
            settings: config.settings().clone(),
            query: Arc::new(query?.ok()?),
            expansion: expansion?,
        })
    }

    /// Looks up `key`: `ask` puts the question to the server. What fails is told in the log, with the table's name.
    pub(crate) async fn lookup<F>(&self, key: &str, ask: impl FnOnce(Question) -> F) -> Lookup
    where
        F: Future<Output = Result<Fields, String>>,
    {
        match self.expansion.admits(key).await {
            Ok(true) => {}
            Ok(false) => return Lookup::NotFound,
            Err(Unanswered(text)) => return self.fails(&format!("domain: {text}")),
        }
        if self.query.for_key(key, Cow::Borrowed).is_none() {
            return Lookup::NotFound;
        }
        match ask(Question { query: self.query.clone(), key: key.to_owned() }).await {
            Ok(fields) => self.answer(key, &fields).unwrap_or_else(|text| self.fails(&text)),
            Err(text) => self.fails(&text),
        }
    }

    fn answer(&self, key: &str, fields: &Fields) -> Result<Lookup, String> {
        fields.check()?;
        let mut answer = self.expansion.answer(key);
        for text in &fields.texts {
            answer.add(text).map_err(|TooMuch(text)| text)?;
        }
        if answer.had_empty() {
            (self.settings.warn)(&format!("{}: empty result for key `{key}`; it is ignored", self.spec));
        }
        Ok(answer.finish())
    }

    fn fails(&self, text: &str) -> Lookup {
        Lookup::TempFail(format!("{}: {text}", self.spec))
    }
}

/// The bounds of the connections to a database server: `timeout`, `idle_interval`, `retry_interval`.
#[cfg(any(feature = "mysql", feature = "pgsql"))]
pub(crate) fn limits(config: &mut TableConfig<'_>) -> Limits {
    let default = Limits::default();
    let timeout = config.seconds("timeout", QUERY_MAX);
    Limits {
        connect: timeout,
        query: timeout,
        idle: config.seconds("idle_interval", default.idle),
        retry: config.seconds("retry_interval", default.retry),
        ..default
    }
}

/// The query, or that which the settings from before Postfix 2.2 stand for.
fn query(config: &mut TableConfig<'_>, function: Option<&'static str>) -> Option<String> {
    let query = config.text("query").filter(|query| !query.is_empty());
    let function = function.and_then(|name| config.text(name)).filter(|function| !function.is_empty());
    let [field, table, place, conditions] =
        ["select_field", "table", "where_field", "additional_conditions"].map(|name| config.text(name));
    if query.is_some() {
        return query;
    }
    if let Some(function) = function {
        return Some(format!("SELECT {function}('%s')"));
    }
    if field.is_none() && table.is_none() && place.is_none() {
        config.wrong("query", "expected a SELECT statement, found nothing");
        return None;
    }
    for (name, value) in [("select_field", &field), ("table", &table), ("where_field", &place)] {
        if value.as_deref().unwrap_or_default().is_empty() {
            config
                .wrong(name, "expected a name, found nothing (or set query, which stands for all of these)");
        }
    }
    let conditions = conditions.unwrap_or_default();
    Some(format!("SELECT {} FROM {} WHERE {} = '%s' {conditions}", field?, table?, place?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::now;

    /// The table whose settings these are, `name=value` each, in main.cf.
    fn open(values: &'static [&'static str], function: Option<&'static str>) -> Result<Sql, String> {
        let parameter = Arc::new(|name: &str| {
            let value = values.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map(str::to_owned)
        });
        let settings = Settings { parameter, ..Settings::default() };
        let mut config = TableConfig::open("pgsql", "t", "x:t", &settings).unwrap();
        let sql = Sql::read(&mut config, function);
        config.finish().map_err(|error| error.to_string())?;
        Ok(sql.expect("what is wrong was noted"))
    }

    fn asked(sql: &Sql, key: &str) -> Option<String> {
        let mut text = None;
        let ask = |question: Question| {
            text = Some(question.text(|part| part.replace('\'', "''").into()));
            async { Ok(Fields::default()) }
        };
        assert_eq!(now(sql.lookup(key, ask)), Some(Lookup::NotFound));
        text
    }

    #[test]
    fn old_settings_stand_for_a_query() {
        let sql = open(
            &["t_select_field=f", "t_table=t", "t_where_field=w", "t_additional_conditions=AND d = '%d'"],
            None,
        );
        let text = "SELECT f FROM t WHERE w = 'o''x@y' AND d = 'y'";
        assert_eq!(asked(&sql.unwrap(), "o'x@y").unwrap(), text);
        let sql = open(&["t_select_function=f", "t_table=t"], Some("select_function")).unwrap();
        assert_eq!(asked(&sql, "k").unwrap(), "SELECT f('k')");
        let sql = open(&["t_query=q %u", "t_select_function=f"], Some("select_function")).unwrap();
        assert_eq!(asked(&sql, "k@d").unwrap(), "q k");
        assert_eq!(asked(&sql, "@d"), None);
    }

    #[test]
    fn a_table_without_a_query_is_refused() {
        let error = |values| open(values, None).err().unwrap();
        assert_eq!(error(&[]), "x:t: t_query: expected a SELECT statement, found nothing");
        let nothing = "expected a name, found nothing (or set query, which stands for all of these)";
        assert_eq!(
            error(&["t_table=a"]),
            format!("x:t: t_select_field: {nothing}; t_where_field: {nothing}")
        );
        assert!(error(&["t_query=%x"]).starts_with("x:t: t_query: expected %s, %u,"));
    }

    #[test]
    fn fields_beyond_the_bound_make_the_lookup_fail() {
        let sql = open(&["t_query=q"], None).unwrap();
        let mut fields = Fields::default();
        let long = vec![b'x'; FIELDS_BYTES_MAX / 2];
        fields.push(Some(&long));
        fields.push(Some(&long));
        fields.push(Some(b"x"));
        let answer = now(sql.lookup("k", |_| async { Ok(fields) })).unwrap();
        let text = "x:t: expected at most 1000000 fields and 16777216 bytes, found more";
        assert_eq!(answer, Lookup::TempFail(text.into()));
    }

    #[test]
    fn nothing_and_empty_fields_are_left_out() {
        let sql = open(&["t_query=q"], None).unwrap();
        let mut fields = Fields::default();
        for field in [None, Some(&b""[..]), Some(b"a"), Some(b"b")] {
            fields.push(field);
        }
        let answer = now(sql.lookup("k", |_| async { Ok(fields) })).unwrap();
        assert_eq!(answer, Lookup::Found("a,b".into()));
    }

    #[test]
    fn a_field_that_is_no_text_makes_the_lookup_fail() {
        let sql = open(&["t_query=q"], None).unwrap();
        let mut fields = Fields::default();
        fields.push(Some(b"a\xff"));
        let answer = now(sql.lookup("k", |_| async { Ok(fields) })).unwrap();
        assert_eq!(answer, Lookup::TempFail("x:t: expected results in UTF-8, found other bytes".into()));
    }
}
