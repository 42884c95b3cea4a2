//! How I am told: by e-mail, by ntfy, and when not.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fleet::{Condition, QuietHours, TenantId, Zone};
use jiff::civil::Time;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::app::App;
use crate::form::Signed;
use crate::notify::firm::{Firm, Inside, Kept};
use crate::notify::own::{Own, SETTING, Topic};
use crate::notify::{Way, reach};
use crate::page::{Frame, Just, Place, show};
use crate::pages::client::sentence;
use crate::pages::messages::tried;
use crate::problem::{Problem, see};
use crate::visitor::{self, Visitor};

#[derive(Template)]
#[template(path = "own.html")]
struct OwnPage {
    frame: Frame,
    email: String,
    form: Form,
    wrong: Option<String>,
    answer: Option<String>,
}

/// What is set, or was typed.
struct Form {
    mail: bool,
    topic: String,
    has_token: bool,
    quiet: bool,
    zone: String,
    from: String,
    to: String,
    wakes: Vec<(&'static str, &'static str, bool)>,
}

impl Form {
    fn of(own: &Own, app: &App) -> Form {
        let quiet = own.quiet.as_ref();
        let hour =
            |time: Option<Time>, usual: &str| time.map_or(usual.into(), |time| time.strftime("%H:%M").to_string());
        let usual = [Condition::Storage, Condition::Quarantined, Condition::Messages];
        Form {
            mail: own.mail,
            topic: own.ntfy.as_ref().map(|topic| topic.address.clone()).unwrap_or_default(),
            has_token: own.ntfy.as_ref().is_some_and(|topic| !topic.token.0.is_empty()),
            quiet: quiet.is_some(),
            zone: quiet.map_or(app.facade.zone.name(), |quiet| quiet.zone.name()).to_owned(),
            from: hour(quiet.map(|quiet| quiet.from), "22:00"),
            to: hour(quiet.map(|quiet| quiet.to), "06:00"),
            wakes: wakes(|condition| quiet.map_or(&usual[..], |quiet| &quiet.except).contains(&condition)),
        }
    }
}

fn wakes(is_on: impl Fn(Condition) -> bool) -> Vec<(&'static str, &'static str, bool)> {
    let words = |condition| match condition {
        Condition::Silent => "A server or a whole site is silent",
        Condition::Backup => "There is no recent good backup",
        Condition::Offsite => "There is no recent copy offsite",
        Condition::Proven => "No restore was proven lately",
        Condition::Storage => "Storage is damaged or nearly full",
        Condition::Quarantined => "Two machines use one identity",
        Condition::Messages => "Messages do not arrive",
    };
    Condition::ALL.into_iter().map(|condition| (condition.word(), words(condition), is_on(condition))).collect()
}

/// `GET /settings/messages`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    let own = Own::load(&app, visitor.person.id).await?;
    page(&visitor, StatusCode::OK, &just, Form::of(&own, &app), None, None)
}

fn page(
    visitor: &Visitor,
    status: StatusCode,
    just: &Just,
    form: Form,
    wrong: Option<String>,
    answer: Option<String>,
) -> Result<Response, Problem> {
    let frame = Frame::new("How I am told", Place::Settings, visitor, just);
    let page = OwnPage { frame, email: visitor.person.email.clone(), form, wrong, answer };
    Ok((status, show(&page)?).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Typed {
    mail: Option<String>,
    topic: String,
    /// Empty: the one that is kept.
    #[serde(default)]
    ntfy_token: Zeroizing<String>,
    quiet: Option<String>,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

impl Typed {
    fn wakes(&self, condition: Condition) -> bool {
        self.others.contains_key(condition.word())
    }

    fn meant(&self, old: Own, inside: Inside) -> Result<Own, String> {
        let address = self.topic.trim();
        let ntfy = match address {
            "" => None,
            address => {
                let url = reach::understood(address, inside).map_err(|error| sentence(&error))?;
                if url.path().trim_matches('/').is_empty() {
                    return Err("An ntfy address ends in a topic, such as https://ntfy.sh/stead-jim.".into());
                }
                // A token goes to nobody but the server that it was typed for.
                let kept = old.ntfy.filter(|topic| topic.address == address).map(|topic| topic.token);
                let token = match self.ntfy_token.is_empty() {
                    true => kept.unwrap_or_default(),
                    false => Kept(self.ntfy_token.to_string()),
                };
                Some(Topic { address: address.to_owned(), token })
            }
        };
        let quiet = if self.quiet.is_some() { Some(self.quiet_hours()?) } else { None };
        Ok(Own { mail: self.mail.is_some(), ntfy, quiet })
    }

    fn quiet_hours(&self) -> Result<QuietHours, String> {
        let time =
            |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| format!("{text:?} is no time of day."));
        let (from, to) = (time(&self.from)?, time(&self.to)?);
        if from == to {
            return Err("Quiet hours that begin when they end would never end.".into());
        }
        let zone = Zone::named(self.zone.trim()).map_err(|error| sentence(&error))?;
        let except = Condition::ALL.into_iter().filter(|condition| self.wakes(*condition)).collect();
        Ok(QuietHours { zone, from, to, except })
    }

    fn form(&self, has_token: bool) -> Form {
        Form {
            mail: self.mail.is_some(),
            topic: self.topic.clone(),
            has_token,
            quiet: self.quiet.is_some(),
            zone: self.zone.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            wakes: wakes(|condition| self.wakes(condition)),
        }
    }
}

/// `POST /settings/messages`
pub(crate) async fn save(State(app): State<App>, Signed(visitor, typed): Signed<Typed>) -> Result<Response, Problem> {
    let old = Own::load(&app, visitor.person.id).await?;
    let has_token = old.ntfy.as_ref().is_some_and(|topic| !topic.token.0.is_empty());
    match typed.meant(old, inside(&app, &visitor).await?) {
        Ok(own) => {
            let written = own.written(&app.seal, visitor.person.id)?;
            app.store.within(&visitor.scope).set_my_setting(SETTING, &written).await?;
            Ok(see(&Just::at("/settings/messages", "messages", 0)))
        }
        Err(wrong) => {
            let form = typed.form(has_token);
            page(&visitor, StatusCode::UNPROCESSABLE_ENTITY, &Just::default(), form, Some(wrong), None)
        }
    }
}

/// Whether an owner of one of one's firms allows addresses inside a network.
async fn inside(app: &App, visitor: &Visitor) -> Result<Inside, Problem> {
    for tenant in visitor::tenants(&visitor.scope) {
        if Firm::load(app, tenant).await?.inside == Inside::Allowed {
            return Ok(Inside::Allowed);
        }
    }
    Ok(Inside::Refused)
}

#[derive(Deserialize)]
pub(crate) struct Trial {
    way: String,
}

/// `POST /settings/messages/test`
pub(crate) async fn test(State(app): State<App>, Signed(visitor, trial): Signed<Trial>) -> Result<Response, Problem> {
    let way = match trial.way.as_str() {
        "mail" => Way::Mail(visitor.person.id),
        "ntfy" => Way::Ntfy(visitor.person.id),
        _ => return Err(Problem::Invalid("There is no such way.".into())),
    };
    let (wrong, answer) = match firm_for(&app, &visitor, way).await? {
        None => (Some("You belong to no firm: nobody sends you messages.".to_owned()), None),
        Some(tenant) => match tried(&app, &visitor, tenant, way).await? {
            Ok(answer) => (None, Some(answer)),
            Err(wrong) => (Some(wrong), None),
        },
    };
    let own = Own::load(&app, visitor.person.id).await?;
    page(&visitor, StatusCode::OK, &Just::default(), Form::of(&own, &app), wrong, answer)
}

/// The firm that would send: one that one belongs to, for e-mail rather one with a mail server.
async fn firm_for(app: &App, visitor: &Visitor, way: Way) -> Result<Option<TenantId>, Problem> {
    let mut found = None;
    for tenant in visitor::tenants(&visitor.scope) {
        let people = app.store.system().people_of(tenant).await?;
        if people.iter().any(|person| person.id == visitor.person.id) {
            let has_mail = Firm::load(app, tenant).await?.mail.is_some();
            if found.is_none() || (has_mail && matches!(way, Way::Mail(_))) {
                found = Some(tenant);
            }
        }
    }
    Ok(found)
}
