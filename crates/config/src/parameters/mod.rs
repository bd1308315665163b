//! Typed views of the parameters, one file a service. A parameter is one entry: name, type, default, limits, meaning.

use crate::config::Scope;
use crate::error::Error;
use crate::kinds::Limits;
use std::collections::HashMap;
use std::sync::LazyLock;

/// One parameter that we honour, as its entry describes it.
pub struct Parameter {
    /// The name; for one of a family, what follows the transport's name.
    pub name: &'static str,
    /// Whether the name needs a transport's name in front.
    pub family: bool,
    /// The type's name.
    pub kind: &'static str,
    /// The unexpanded default.
    pub default: &'static str,
    /// What the entry's doc comment says, line by line.
    pub docs: &'static [&'static str],
    pub(crate) limits: fn() -> Limits,
    pub(crate) check: fn(&Scope<'_>, &str, &Limits, &mut Vec<Error>),
}

impl Parameter {
    /// The limits of the value.
    pub fn limits(&self) -> Limits {
        (self.limits)()
    }

    /// The name in the list of all parameters: one of a family stands there as the manuals' `transport_<suffix>`.
    pub fn listed_name(&self) -> String {
        if self.family { format!("transport_{}", self.name) } else { self.name.to_owned() }
    }

    /// The meaning in one text.
    pub fn meaning(&self) -> String {
        self.docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// The type's name with what limits its values: `number, 1 to 9`, `one of all, none`, `list of a, b`.
    pub fn kind_and_limits(&self) -> String {
        let limits = self.limits();
        let words: Vec<&str> = limits.one_of.iter().filter(|word| !word.is_empty()).copied().collect();
        match (limits.min, limits.max) {
            _ if self.kind == "text" && !words.is_empty() => format!("one of {}", words.join(", ")),
            _ if !words.is_empty() => format!("{} of {}", self.kind, words.join(", ")),
            (None, None) => self.kind.to_owned(),
            (Some(min), None) => format!("{}, at least {min}", self.kind),
            (None, Some(max)) => format!("{}, at most {max}", self.kind),
            (Some(min), Some(max)) => format!("{}, {min} to {max}", self.kind),
        }
    }
}

/// Makes a typed view: a struct with one field for each parameter, and `read`.
///
/// An entry is doc comment, name, type (see `kinds`), default, and where wanted `range 1..` or `one_of &["a", "b"]`.
macro_rules! parameters {
    (
        $(#[doc = $view_doc:literal])+
        pub struct $view:ident {
            $( $(#[doc = $doc:literal])+ $name:ident : $kind:ident = $default:literal
               $(, range $range:expr)? $(, one_of $one_of:expr)? ),* $(,)?
        }
    ) => {
        $(#[doc = $view_doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $view {
            $( $(#[doc = $doc])+ pub $name: <$crate::kinds::$kind as $crate::kinds::Kind>::Value, )*
        }

        impl $view {
            /// The parameters of this view.
            pub const PARAMETERS: &'static [$crate::parameters::Parameter] = &[
                $( $crate::parameters::Parameter {
                    name: stringify!($name),
                    family: false,
                    kind: <$crate::kinds::$kind as $crate::kinds::Kind>::NAME,
                    default: $default,
                    docs: &[$($doc),+],
                    limits: || $crate::parameters::limits!($default $(, range $range)? $(, one_of $one_of)?),
                    check: |scope, name, limits, errors| {
                        let _ = scope.typed::<$crate::kinds::$kind>(name, limits, errors);
                    },
                }, )*
            ];

            /// Reads the view as `service` sees it (without one: main.cf alone); the error holds every wrong value.
            pub fn read(
                config: &$crate::Config,
                service: Option<&$crate::ServiceLine>,
            ) -> Result<$view, $crate::Errors> {
                $view::read_in(&config.scope(service))
            }

            /// Reads the view in a scope, which may have settings of its own such as `stress=yes`.
            pub fn read_in(scope: &$crate::Scope<'_>) -> Result<$view, $crate::Errors> {
                let mut errors = Vec::new();
                $( let $name = scope.typed::<$crate::kinds::$kind>(
                    stringify!($name),
                    &$crate::parameters::limits!($default $(, range $range)? $(, one_of $one_of)?),
                    &mut errors,
                ); )*
                $crate::Errors::check(errors)?;
                const REPORTED: &str = "each value that cannot be read leaves an error";
                Ok($view { $( $name: $name.expect(REPORTED), )* })
            }
        }
    };
}

/// Makes a view of `<transport>_<suffix>` parameters; the default holds where neither is set.
macro_rules! family {
    (
        $(#[doc = $view_doc:literal])+
        pub struct $view:ident {
            $( $(#[doc = $doc:literal])+ $name:ident : $kind:ident = $default:literal $(, range $range:expr)? ),* $(,)?
        }
    ) => {
        $(#[doc = $view_doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $view {
            $( $(#[doc = $doc])+ pub $name: <$crate::kinds::$kind as $crate::kinds::Kind>::Value, )*
        }

        impl $view {
            /// The parameters of this family, by what follows the transport's name.
            pub const PARAMETERS: &'static [$crate::parameters::Parameter] = &[
                $( $crate::parameters::Parameter {
                    name: stringify!($name),
                    family: true,
                    kind: <$crate::kinds::$kind as $crate::kinds::Kind>::NAME,
                    default: $default,
                    docs: &[$($doc),+],
                    limits: || $crate::parameters::limits!($default $(, range $range)?),
                    check: |scope, name, limits, errors| {
                        let _ = scope.typed::<$crate::kinds::$kind>(name, limits, errors);
                    },
                }, )*
            ];

            /// Reads the family's parameters for `transport`, the name of a service in master.cf.
            pub fn read(scope: &$crate::Scope<'_>, transport: &str) -> Result<$view, $crate::Errors> {
                let mut errors = Vec::new();
                $( let $name = scope.typed::<$crate::kinds::$kind>(
                    &format!("{transport}_{}", stringify!($name)),
                    &$crate::parameters::limits!($default $(, range $range)?),
                    &mut errors,
                ); )*
                $crate::Errors::check(errors)?;
                const REPORTED: &str = "each value that cannot be read leaves an error";
                Ok($view { $( $name: $name.expect(REPORTED), )* })
            }
        }
    };
}

/// Makes a view whose parameters have two names, `smtp_…` and `lmtp_…`, by the protocol that is spoken.
macro_rules! twins {
    (
        $(#[doc = $view_doc:literal])+
        pub struct $view:ident {
            $( $(#[doc = $doc:literal])+ $field:ident : $kind:ident =
               ($smtp:ident = $smtp_default:literal, $lmtp:ident = $lmtp_default:literal)
               $(, range $range:expr)? $(, one_of $one_of:expr)? ),* $(,)?
        }
    ) => {
        $(#[doc = $view_doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $view {
            $( $(#[doc = $doc])+ pub $field: <$crate::kinds::$kind as $crate::kinds::Kind>::Value, )*
        }

        impl $view {
            /// The parameters of this view, the names for SMTP and those for LMTP.
            pub const PARAMETERS: &'static [$crate::parameters::Parameter] = &[
                $( $crate::parameters::twin!($kind, $smtp = $smtp_default, ($($doc),+) $(, range $range)? $(, one_of $one_of)?),
                   $crate::parameters::twin!($kind, $lmtp = $lmtp_default, ($($doc),+) $(, range $range)? $(, one_of $one_of)?), )*
            ];

            /// Reads the view as `service` sees it, under the `lmtp_` names where `lmtp` says so.
            pub fn read_in(scope: &$crate::Scope<'_>, lmtp: bool) -> Result<$view, $crate::Errors> {
                let mut errors = Vec::new();
                $( let (name, limits) = if lmtp {
                    (stringify!($lmtp), $crate::parameters::limits!($lmtp_default $(, range $range)? $(, one_of $one_of)?))
                } else {
                    (stringify!($smtp), $crate::parameters::limits!($smtp_default $(, range $range)? $(, one_of $one_of)?))
                };
                let $field = scope.typed::<$crate::kinds::$kind>(name, &limits, &mut errors); )*
                $crate::Errors::check(errors)?;
                const REPORTED: &str = "each value that cannot be read leaves an error";
                Ok($view { $( $field: $field.expect(REPORTED), )* })
            }
        }
    };
}

/// One of the two parameters of a twin.
macro_rules! twin {
    ($kind:ident, $name:ident = $default:literal, ($($doc:literal),+) $(, range $range:expr)? $(, one_of $one_of:expr)?) => {
        $crate::parameters::Parameter {
            name: stringify!($name),
            family: false,
            kind: <$crate::kinds::$kind as $crate::kinds::Kind>::NAME,
            default: $default,
            docs: &[$($doc),+],
            limits: || $crate::parameters::limits!($default $(, range $range)? $(, one_of $one_of)?),
            check: |scope, name, limits, errors| {
                let _ = scope.typed::<$crate::kinds::$kind>(name, limits, errors);
            },
        }
    };
}

/// The `Limits` of an entry.
macro_rules! limits {
    ($default:literal) => {
        $crate::kinds::Limits { default: $default, ..Default::default() }
    };
    ($default:literal, range $range:expr) => {
        $crate::kinds::Limits::range($default, $range)
    };
    ($default:literal, one_of $one_of:expr) => {
        $crate::kinds::Limits { default: $default, one_of: $one_of, ..Default::default() }
    };
}

pub(crate) use {limits, twin};

mod anvil;
mod bounce;
mod checking;
mod cleanup;
mod client;
mod delivery;
mod global;
mod local;
mod mapping;
mod master;
mod mime;
mod pipe;
mod policy;
mod postscreen;
mod qmgr;
mod queue;
mod rewrite;
mod smtpd;
mod verify;

pub use anvil::Anvil;
pub use bounce::Bounce;
pub use checking::Checking;
pub use cleanup::Cleanup;
pub use client::{Client, ClientRoutes, Lmtp};
pub use delivery::Virtual;
pub use global::Global;
pub use local::Local;
pub use mapping::{Mapping, Receiving};
pub use master::Master;
pub use mime::Mime;
pub use pipe::{Pipe, Spawned};
pub use policy::Policy;
pub use postscreen::Postscreen;
pub use qmgr::{Qmgr, Transport};
pub use queue::Queue;
pub use rewrite::Rewrite;
pub use smtpd::Smtpd;
pub use verify::{ProbeRoutes, Unverified, Verify};

/// Every view's parameters, by the name of the view.
pub const VIEWS: &[(&str, &[Parameter])] = &[
    ("Global", Global::PARAMETERS),
    ("Master", Master::PARAMETERS),
    ("SMTP server", Smtpd::PARAMETERS),
    ("Policy services", Policy::PARAMETERS),
    ("Rates of clients", Anvil::PARAMETERS),
    ("postscreen", Postscreen::PARAMETERS),
    ("Unverified addresses", Unverified::PARAMETERS),
    ("Cleanup", Cleanup::PARAMETERS),
    ("Address mapping", Mapping::PARAMETERS),
    ("Header and body checks", Checking::PARAMETERS),
    ("Receiving", Receiving::PARAMETERS),
    ("Address rewriting", Rewrite::PARAMETERS),
    ("Address verification", Verify::PARAMETERS),
    ("Routes of probes", ProbeRoutes::PARAMETERS),
    ("Queue", Queue::PARAMETERS),
    ("Queue manager", Qmgr::PARAMETERS),
    ("Queue manager, per transport", Transport::PARAMETERS),
    ("SMTP and LMTP client", Client::PARAMETERS),
    ("SMTP and LMTP client: routes", ClientRoutes::PARAMETERS),
    ("LMTP client", Lmtp::PARAMETERS),
    ("Local delivery", Local::PARAMETERS),
    ("MIME", Mime::PARAMETERS),
    ("Virtual delivery", Virtual::PARAMETERS),
    ("Commands", Pipe::PARAMETERS),
    ("Commands, per service", Spawned::PARAMETERS),
    ("Bounces", Bounce::PARAMETERS),
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Parameter>> = LazyLock::new(|| {
    // What several views have is as the first one says.
    VIEWS.iter().rev().flat_map(|(_, list)| *list).filter(|p| !p.family).map(|p| (p.name, p)).collect()
});

/// The entry of a parameter that we honour, also for `<transport>_<suffix>`.
pub fn find(name: &str) -> Option<&'static Parameter> {
    if let Some(parameter) = BY_NAME.get(name) {
        return Some(parameter);
    }
    // Of two suffixes that fit, the longer is meant: `x_transport_rate_delay`, not `x_transport` and `rate_delay`.
    let fits = |p: &&Parameter| name.strip_suffix(p.name).is_some_and(|t| t.len() > 1 && t.ends_with('_'));
    let families = Transport::PARAMETERS.iter().chain(Spawned::PARAMETERS);
    families.filter(fits).max_by_key(|p| p.name.len())
}
