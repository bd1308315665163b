//! `.forward` files: where a user says that his mail goes.

use super::context::{Context, Origin};
use super::list;
use super::settings::has;
use super::user_file::{Reader, Unread, read};
use super::{Delivery, Failure, Note, misconfigured, names};
use crate::local_role::failure::words;
use mail::{Dsn, Purpose};
use std::path::PathBuf;
use std::sync::Arc;
use sys::User;

impl Delivery<'_> {
    /// Delivers to what the user's file names. False where there is none, or it names nobody.
    pub(super) async fn forward_file(&self, to: &Context, user: &Arc<User>) -> bool {
        let view = &self.settings.view;
        if to.extension.as_ref().is_some_and(|extension| extension.contains('/')) {
            let (id, local) = (&self.job.head.queue_id, &to.local);
            self.note(Note::Warning(format!("{id}: address with illegal extension: {local}")));
        }
        let filter = Some(view.forward_expansion_filter.as_str());
        let mut before = PathBuf::new();
        for template in view.forward_path.split([',', ' ', '\t', '\n']).filter(|t| !t.is_empty()) {
            let path = match names::expand(template, to, &view.recipient_delimiter, filter) {
                Ok(path) => PathBuf::from(path),
                Err(why) => {
                    self.failed(to, misconfigured(format!("forward_path: {why}")));
                    return true;
                }
            };
            // Without an extension the usual two are one.
            if path == before {
                continue;
            }
            before.clone_from(&path);
            // Each file once, also where it names its own user.
            let key = format!("forward {} {}", user.uid, path.display());
            if self.seen.borrow().contains(&key) {
                return false;
            }
            let reader = Reader {
                uid: user.uid,
                gid: user.gid,
                as_caller: self.settings.writing.as_caller,
                strict: true,
            };
            let asked = path.clone();
            match self.shared.pool.run(move |rights| read(&asked, reader, rights)).await {
                Some(Ok(_)) if self.job.head.purpose == Purpose::Verification => {
                    self.sent(to, format!("forward via file: {}", path.display()));
                    return true;
                }
                Some(Ok((text, _))) => {
                    self.seen.borrow_mut().insert(key);
                    let takes_extension = template.contains("extension");
                    return self.forward_to(to, user, &text, takes_extension).await;
                }
                Some(Err(Unread::Absent)) => {}
                Some(Err(Unread::Unsafe(why))) => {
                    self.note(Note::Warning(why));
                    return false;
                }
                Some(Err(Unread::Later(e))) => {
                    let text = format!("cannot read {}: {}", path.display(), words(&e));
                    self.failed(to, Failure::new(Dsn::new(4, 3, 0), text));
                    return true;
                }
                None => {
                    self.failed(to, Failure::new(Dsn::new(4, 3, 0), "unknown mail transport error"));
                    return true;
                }
            }
        }
        false
    }

    async fn forward_to(&self, to: &Context, user: &Arc<User>, text: &str, takes_extension: bool) -> bool {
        let items = list::lines(text);
        if items.is_empty() {
            return false;
        }
        let propagates = has(&self.settings.view.propagate_unmatched_extensions, "forward");
        let within = Context {
            origin: Origin::Forward,
            user: Some(user.clone()),
            only_user: Some(to.name.clone()),
            unmatched: to.extension.clone().filter(|_| propagates && !takes_extension),
            ..to.clone()
        };
        self.items(&within, items).await;
        true
    }
}
