//! Every route in every role: who may not ask is refused, who may is not. And every act leaves a line in the audit log.

use std::collections::BTreeMap;

use api::{Access, Method, Route};
use continuity::{Act, Role};
use fleet::{
    AlertId, AlertKey, ClientId, Condition, Finding, JobId, JobKey, JobKind, MachineId, Observation, Silence,
    SilenceId, SilenceScope, Subject, TenantId,
};
use jiff::SignedDuration;
use serde_json::json;
use store::{CodeId, NewCode, NewJob, Secret, SessionId, Token, TokenId};

use crate::browser::Browser;
use crate::shop::{PASSWORD, Shop};

const OWNER: &str = "owner@example.org";
const TECHNICIAN: &str = "technician@example.org";
const VIEWER: &str = "viewer@example.org";
const GUEST: &str = "guest@example.org";
const STRANGER: &str = "stranger@example.org";

/// A firm with one of everything.
struct Stage {
    shop: Shop,
    tenant: TenantId,
    client: ClientId,
    machine: MachineId,
    ids: BTreeMap<&'static str, String>,
}

impl Stage {
    async fn set() -> Stage {
        let shop = Shop::open().await;
        stead_server::gateway::tell(&shop.store, "https://backup.example:8444".into(), None).await.unwrap();
        let tenant = shop.firm("Brightside", OWNER).await;
        shop.firm("Elsewhere", STRANGER).await;
        shop.firm("The guest's own", GUEST).await;
        shop.firm("Another guest's", "other@example.org").await;
        let client = shop.client(OWNER, tenant, "Harbour Dental").await;
        let machine = shop.machine(OWNER, client, "HD-SRV1").await;
        // The alert is not about the machine that is believed again meanwhile.
        let doubted = shop.machine(OWNER, client, "HD-SRV2").await;
        let technician = shop.member(OWNER, tenant, TECHNICIAN, Role::Technician).await;
        shop.member(OWNER, tenant, VIEWER, Role::ClientViewer(client)).await;
        shop.grant(OWNER, tenant, client, GUEST).await;
        let grant = shop.grant(OWNER, tenant, client, "other@example.org").await;
        let mut stage = Stage { shop, tenant, client, machine, ids: BTreeMap::new() };
        let alert = alert(&stage.shop, tenant, client, doubted).await;
        let (silence, code) = (stage.silence().await, stage.code().await);
        let job = stage.job().await;
        let drawn = stage.shop.bits();
        stage.ids = BTreeMap::from([
            ("client", client.to_string()),
            ("machine", machine.to_string()),
            ("alert", alert.to_string()),
            ("silence", silence.to_string()),
            ("person", technician.to_string()),
            ("grant", grant.to_string()),
            ("code", code.to_string()),
            ("policy", stage.policy().await.to_string()),
            ("session", SessionId::made(stage.shop.now(), drawn).to_string()),
            ("token", TokenId::made(stage.shop.now(), drawn).to_string()),
            ("passkey", store::PasskeyId::made(stage.shop.now(), drawn).to_string()),
            ("job", job.to_string()),
            ("snapshot", "ab".repeat(32)),
            ("name", "none.css".into()),
            ("link", "none".into()),
        ]);
        stage
    }

    async fn silence(&self) -> SilenceId {
        let scope = self.shop.scope(OWNER).await;
        let (id, from) = (SilenceId::made(self.shop.now(), self.shop.bits()), self.shop.now());
        let until = from + SignedDuration::from_hours(8);
        let (reason, by) = ("works".to_owned(), scope.actor().clone());
        let silence =
            Silence { id, scope: SilenceScope::Machine(self.machine), by, reason, from, until, suppressed: 0 };
        self.shop.store.within(&scope).add_silence(&silence).await.unwrap();
        id
    }

    async fn job(&self) -> JobId {
        let scope = self.shop.scope(OWNER).await;
        let (id, due) = (JobId::made(self.shop.now(), self.shop.bits()), self.shop.now());
        let (machine, kind) = (self.machine, JobKind::Check);
        let key = JobKey::requested(machine, kind, &id.to_string());
        let new = NewJob { id, machine, kind, key, due, orders: String::new() };
        self.shop.store.within(&scope).ask_for(&new).await.unwrap()
    }

    async fn code(&self) -> CodeId {
        let scope = self.shop.scope(OWNER).await;
        let (id, expires) =
            (CodeId::made(self.shop.now(), self.shop.bits()), self.shop.now() + SignedDuration::from_hours(1));
        let class = fleet::MachineClass::Server;
        let new = NewCode { id, client: self.client, class, policy: None, uses: 1, expires };
        self.shop.store.within(&scope).add_code(&new, &Secret::random()).await.unwrap();
        id
    }

    async fn policy(&self) -> fleet::PolicyId {
        let scope = self.shop.scope(OWNER).await;
        let id = fleet::PolicyId::made(self.shop.now(), self.shop.bits());
        let times = fleet::Times::cron("0 20 * * *").unwrap();
        let schedule = fleet::Schedule { zone: fleet::Zone::utc(), times, spread: 0, windows: vec![] };
        let policy = fleet::Policy {
            id,
            tenant: self.tenant,
            name: "Offices".into(),
            what: vec![],
            schedule,
            copies: vec![],
            keep: fleet::Keep::default(),
            drills: vec![],
            roaming: fleet::Roaming::default(),
        };
        self.shop.store.within(&scope).save_policy(&policy).await.unwrap();
        id
    }

    /// What routes end is there once: each gets one of its own.
    async fn prepare(&mut self, route: Route) {
        let path = route.path();
        if path.contains("{code}") {
            self.ids.insert("code", self.code().await.to_string());
        } else if path.contains("{job}") {
            self.ids.insert("job", self.job().await.to_string());
        } else if path.contains("{silence}") {
            self.ids.insert("silence", self.silence().await.to_string());
        } else if path.contains("{policy}") {
            self.ids.insert("policy", self.policy().await.to_string());
        } else if path.contains("{grant}") {
            let grant = self.shop.grant(OWNER, self.tenant, self.client, "other@example.org").await;
            self.ids.insert("grant", grant.to_string());
        }
    }

    fn path(&self, route: Route) -> String {
        let mut path = route.path().to_owned();
        for (name, id) in &self.ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        assert!(!path.contains('{'), "{path}");
        path
    }

    /// What a form of this route must hold.
    fn fields(&self, route: Route) -> Vec<(&'static str, String)> {
        let words =
            |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, value)| (*name, (*value).into())).collect();
        match route {
            Route::AddClient => {
                vec![("tenant", self.tenant.to_string()), ("name", "New".into()), ("zone", "UTC".into())]
            }
            Route::SilenceClient | Route::SilenceAlert | Route::PauseMachine => {
                words(&[("reason", "works"), ("hours", "2")])
            }
            Route::AddPerson => vec![
                ("tenant", self.tenant.to_string()),
                ("name", "New".into()),
                ("email", "new@example.org".into()),
                ("role", "technician".into()),
            ],
            Route::GiveGrant => vec![
                ("tenant", self.tenant.to_string()),
                ("client", self.client.to_string()),
                ("email", STRANGER.into()),
                ("reason", "holiday".into()),
                ("hours", "12".into()),
                ("restore", "on".into()),
            ],
            Route::MakeCode => vec![
                ("client", self.client.to_string()),
                ("class", "laptop".into()),
                ("uses", "1".into()),
                ("hours", "1".into()),
            ],
            Route::MakePlain => vec![
                ("client", self.client.to_string()),
                ("class", "laptop".into()),
                ("name", "a Mac".into()),
                ("system", "macos".into()),
            ],
            Route::ChangePassword => words(&[("now", PASSWORD), ("password", PASSWORD), ("again", PASSWORD)]),
            Route::ConfirmFactor => words(&[("letters", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), ("code", "000000")]),
            Route::RemoveFactor => words(&[("password", PASSWORD)]),
            Route::MakeToken => words(&[("name", "script"), ("days", "30"), ("may", "look")]),
            Route::SavePolicy => vec![
                ("tenant", self.tenant.to_string()),
                ("name", "Nights".into()),
                ("paths", "/home".into()),
                ("at", "20:00".into()),
                ("zone", "UTC".into()),
            ],
            Route::SaveDestination => vec![
                ("tenant", self.tenant.to_string()),
                ("name", "Vault".into()),
                ("address", "/mnt/vault".into()),
                ("distance", "offsite".into()),
            ],
            Route::SaveMachineSettings => {
                // Another name each time: what does not differ is not done.
                vec![("name", format!("HD-{}", hex::encode(self.shop.bits()))), ("class", "server".into())]
            }
            Route::ChangeRole => vec![("tenant", self.tenant.to_string()), ("role", "technician".into())],
            Route::SaveOwnMessages => words(&[("mail", "on"), ("topic", "")]),
            Route::TestOwnMessages => words(&[("way", "mail")]),
            Route::SaveSteps => vec![("tenant", self.tenant.to_string()), ("0-after", "0".into())],
            Route::SaveMail => vec![
                ("tenant", self.tenant.to_string()),
                ("host", "localhost".into()),
                ("port", "9".into()),
                ("protection", "plain".into()),
                ("user", String::new()),
                ("password", String::new()),
                ("from", "stead@example.org".into()),
            ],
            Route::SaveWebhook => {
                vec![("tenant", self.tenant.to_string()), ("address", "https://hooks.invalid/stead".into())]
            }
            Route::SaveWatchdog => vec![("tenant", self.tenant.to_string()), ("address", String::new())],
            Route::WebhookKey => vec![("tenant", self.tenant.to_string())],
            Route::TestMessages => vec![("tenant", self.tenant.to_string()), ("way", "mail".into())],
            Route::Restore => {
                vec![("snapshot", "ab".repeat(32)), ("path", "/home".into()), ("to", "new_folder".into())]
            }
            Route::ConfirmSheet => words(&[("first", "0a1b"), ("second", "2c3d")]),
            Route::SignIn => words(&[("email", "nobody@example.org"), ("password", "wrong wrong wrong")]),
            Route::Welcome => words(&[("password", PASSWORD), ("again", PASSWORD)]),
            _ => Vec::new(),
        }
    }

    /// What a program must send to this route.
    fn json(&self, route: Route) -> Option<serde_json::Value> {
        let (tenant, client) = (self.tenant.to_string(), self.client.to_string());
        Some(match route {
            Route::ApiPause => json!({"reason": "works", "hours": 2}),
            Route::ApiSilenceClient | Route::ApiSilenceAlert => json!({"reason": "works", "hours": 2}),
            Route::ApiSaveMachineSettings => {
                // Another name each time: what does not differ is not done.
                json!({"name": format!("HD-{}", hex::encode(self.shop.bits())), "class": "server"})
            }
            Route::ApiSaveDestination => {
                json!({"tenant": tenant, "name": "Vault", "address": "/mnt/vault", "distance": "offsite"})
            }
            Route::ApiSaveMail => json!({
                "tenant": tenant, "host": "localhost", "port": 9, "protection": "plain", "from": "stead@example.org",
            }),
            Route::ApiSaveWebhook => json!({"tenant": tenant, "address": "https://hooks.invalid/stead"}),
            Route::ApiWebhookKey => json!({"tenant": tenant}),
            Route::ApiSaveSteps => {
                json!({"tenant": tenant, "steps": [{"after_minutes": 0, "people": [], "webhook": true}]})
            }
            Route::ApiSaveWatchdog => json!({"tenant": tenant, "address": "", "inside_allowed": false}),
            Route::ApiTestMessages => json!({"tenant": tenant, "way": "mail"}),
            Route::ApiConfirmSheet => json!({"first": "0a1b", "second": "2c3d"}),
            Route::ApiRestore => json!({"snapshot": "ab".repeat(32), "paths": ["/home"], "to": "new_folder"}),
            Route::ApiAddClient => json!({"tenant": tenant, "name": "New", "zone": "UTC"}),
            Route::ApiMakeCode => json!({"client": client, "class": "laptop", "uses": 1, "hours": 1}),
            Route::ApiAddPerson => {
                json!({"tenant": tenant, "name": "New", "email": "newer@example.org", "role": "technician"})
            }
            Route::ApiChangeRole => json!({"tenant": tenant, "role": "technician"}),
            Route::ApiGiveGrant => json!({
                "tenant": tenant, "client": client, "email": STRANGER, "verbs": ["restore"], "reason": "holiday",
                "hours": 12,
            }),
            Route::ApiSavePolicy | Route::ApiPreviewPolicy => json!({
                "tenant": tenant, "fields": {"name": "Nights", "paths": "/home", "at": "20:00", "zone": "UTC"},
            }),
            _ => return None,
        })
    }

    async fn ask(&self, who: &mut Caller, route: Route) -> u16 {
        let path = self.path(route);
        let method = if route.method() == Method::Get { "GET" } else { "POST" };
        if path.starts_with("/api/") {
            return match self.json(route) {
                Some(body) => who.browser.send_json(&path, who.token.as_deref(), &body).await,
                None => who.browser.status(method, &path, who.token.as_deref()).await,
            };
        }
        match route.method() {
            Method::Get => who.browser.status(method, &path, None).await,
            Method::Post => {
                let fields = self.fields(route);
                let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                who.browser.send(&path, &fields).await.status
            }
        }
    }

    async fn lines(&self) -> usize {
        let scope = self.shop.scope(OWNER).await;
        self.shop.store.within(&scope).audit_from(self.tenant, 0, 10_000).await.unwrap().len()
    }
}

/// Something about a machine that needs somebody.
pub(crate) async fn alert(shop: &Shop, tenant: TenantId, client: ClientId, machine: MachineId) -> AlertId {
    let (id, now) = (AlertId::made(shop.now(), shop.bits()), shop.now());
    let key = AlertKey { subject: Subject::Machine(client, machine), condition: Condition::Quarantined };
    let seen = Observation { key, finding: Finding::Wrong("HD-SRV1: two machines use one identity".into()) };
    let open = |board: &mut store::TenantBoard| {
        board.board.observe(vec![seen], now, || id);
        Vec::new()
    };
    shop.store.system().on_board(tenant, now, open).await.unwrap();
    id
}

/// Somebody with a browser and a token, or nobody.
struct Caller {
    name: &'static str,
    acts: &'static [Act],
    is_ours: bool,
    browser: Browser,
    token: Option<String>,
}

impl Caller {
    async fn nobody(stage: &Stage) -> Caller {
        let browser = Browser::new(stage.shop.address);
        Caller { name: "nobody", acts: &[], is_ours: false, browser, token: None }
    }

    async fn named(stage: &Stage, name: &'static str, acts: &'static [Act], is_ours: bool) -> Caller {
        let mut browser = stage.shop.signed_in(name).await;
        browser.get("/settings").await;
        let scope = stage.shop.scope(name).await;
        let (made, secret) = (stage.shop.now(), Secret::random());
        let (id, ends) = (TokenId::made(made, stage.shop.bits()), made + SignedDuration::from_hours(24));
        let token = Token { id, name: "test".into(), acts: Act::ALL.into(), made, ends };
        stage.shop.store.within(&scope).add_token(&token, &secret).await.unwrap();
        Caller { name, acts, is_ours, browser, token: Some(secret.text().to_owned()) }
    }

    fn is_nobody(&self) -> bool {
        self.token.is_none()
    }

    /// Whether the table lets them ask for the route, as it stands on the stage.
    fn may(&self, route: Route) -> bool {
        match route.access() {
            Access::Anyone => true,
            Access::SignedIn => !self.is_nobody(),
            // Pages about one's own firms, whichever they are.
            Access::May(act)
                if matches!(
                    route,
                    Route::Enrol
                        | Route::Audit
                        | Route::AuditExport
                        | Route::Messages
                        | Route::Policies
                        | Route::NewPolicy
                        | Route::Destinations
                        | Route::ApiPolicies
                        | Route::ApiDestinations
                        | Route::ApiCodes
                        | Route::ApiMessages
                        | Route::ApiAuditExport
                        | Route::ApiAudit
                ) =>
            {
                self.acts.contains(&act) || self.name == GUEST
            }
            Access::May(act) => self.is_ours && self.acts.contains(&act),
        }
    }
}

#[tokio::test]
async fn every_route_refuses_whom_the_table_refuses_and_nobody_else() {
    let mut stage = Stage::set().await;
    let (technician, look) = (Role::Technician.acts(), &[Act::LOOK][..]);
    // The owner comes last: what an owner does changes the stage.
    let mut callers = vec![
        Caller::nobody(&stage).await,
        Caller::named(&stage, STRANGER, Role::Owner.acts(), false).await,
        Caller::named(&stage, VIEWER, look, true).await,
        Caller::named(&stage, GUEST, look, true).await,
        Caller::named(&stage, TECHNICIAN, technician, true).await,
        Caller::named(&stage, OWNER, Role::Owner.acts(), true).await,
    ];
    for caller in &mut callers {
        let routes = Route::ALL.iter().filter(|route| **route != Route::SignOut);
        for route in routes.chain([&Route::SignOut]) {
            stage.prepare(*route).await;
            let before = stage.lines().await;
            let status = stage.ask(caller, *route).await;
            let told = format!("{} asks for {route:?}: {status}", caller.name);
            assert!(status < 500, "{told}");
            match (caller.may(*route), route.access()) {
                (false, _) => {
                    let is_refused = matches!(status, 401 | 403 | 404) || (caller.is_nobody() && status == 303);
                    assert!(is_refused, "{told}");
                    assert_eq!(stage.lines().await, before, "{told}");
                }
                (true, Access::May(_)) => assert!(!matches!(status, 400 | 401 | 403 | 404 | 405), "{told}"),
                // A wrong password is refused, whoever types it.
                (true, Access::Anyone) => assert!(status != 403 && status != 405, "{told}"),
                // Of things that are one's own there may be none.
                (true, _) => assert!(!matches!(status, 400 | 401 | 403 | 405), "{told}"),
            }
        }
    }
    stage.shop.close().await;
}

#[tokio::test]
async fn every_act_of_an_owner_leaves_a_line() {
    let mut stage = Stage::set().await;
    let mut owner = Caller::named(&stage, OWNER, Role::Owner.acts(), true).await;
    let acts = Route::ALL.iter().filter(|route| route.method() == Method::Post);
    for route in acts.filter(|route| **route != Route::SignOut).chain([&Route::SignOut]) {
        stage.prepare(*route).await;
        let before = stage.lines().await;
        let status = stage.ask(&mut owner, *route).await;
        // Shows letters to type, or sentences, and changes nothing yet.
        let is_act = status < 400 && !matches!(route, Route::BeginFactor | Route::ApiPreviewPolicy);
        assert_eq!(stage.lines().await > before, is_act, "{route:?}: {status}");
        // What only a keeper can answer is asked for in its own story.
        if matches!(route.access(), Access::May(_)) && !matches!(route, Route::ConfirmSheet | Route::ApiConfirmSheet) {
            assert!(status < 400, "{route:?}: {status}");
        }
    }
    stage.shop.close().await;
}

#[tokio::test]
async fn a_link_for_somebody_of_two_firms_is_made_by_neither() {
    let stage = Stage::set().await;
    let both = stage.shop.member(OWNER, stage.tenant, STRANGER, Role::Technician).await;
    let mut owner = stage.shop.signed_in(OWNER).await;
    owner.get("/people").await;
    let answer = owner.send(&format!("/people/{both}/link"), &[]).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(!answer.text.contains("/welcome/"), "{}", answer.text);
    stage.shop.close().await;
}
