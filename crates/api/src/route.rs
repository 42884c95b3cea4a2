//! Routes: what can be asked of a server, and who may. The server's router is made from this table, and a test asks
//! for every route in every role.

use continuity::{Act, Verb};

/// How it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nothing changes.
    Get,
    /// Something changes.
    Post,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Anyone,
    /// Whoever is signed in; what they see depends on their scope.
    SignedIn,
    /// Whoever may do this where it is asked for.
    May(Act),
}

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $method:ident $path:literal, $access:expr;)*) => {
        /// What can be asked of a server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Route {
            $($(#[$doc])* $name,)*
        }

        impl Route {
            /// All of them.
            pub const ALL: &[Route] = &[$(Route::$name,)*];

            /// How it is asked for.
            pub const fn method(self) -> Method {
                match self { $(Route::$name => Method::$method,)* }
            }

            /// Its path; what varies stands in braces.
            pub const fn path(self) -> &'static str {
                match self { $(Route::$name => $path,)* }
            }

            /// Who may ask.
            pub const fn access(self) -> Access {
                match self { $(Route::$name => $access,)* }
            }
        }
    };
}

const LOOK: Access = Access::May(Act::Do(Verb::Look));
const BACK_UP: Access = Access::May(Act::Do(Verb::Backup));
const RESTORE: Access = Access::May(Act::Do(Verb::Restore));
const CONFIGURE: Access = Access::May(Act::Configure);
const KEYS: Access = Access::May(Act::ExportKeys);
const INVITE: Access = Access::May(Act::Invite);
const GRANT: Access = Access::May(Act::ChangeGrants);

routes! {
    /// That the server answers.
    Health = Get "/health", Access::Anyone;
    /// A file that pages load.
    Asset = Get "/assets/{name}", Access::Anyone;
    /// The form to sign in.
    SignInPage = Get "/sign-in", Access::Anyone;
    /// Signing in.
    SignIn = Post "/sign-in", Access::Anyone;
    /// Beginning to sign in by a passkey.
    BeginPasskeySignIn = Post "/sign-in/passkey/begin", Access::Anyone;
    /// Signing in by it.
    PasskeySignIn = Post "/sign-in/passkey", Access::Anyone;
    /// Who came by a one-time link chooses a password.
    WelcomePage = Get "/welcome/{link}", Access::Anyone;
    /// Setting that password.
    Welcome = Post "/welcome/{link}", Access::Anyone;
    /// Signing out.
    SignOut = Post "/sign-out", Access::SignedIn;

    /// All machines, the worst first.
    Fleet = Get "/", Access::SignedIn;
    /// The same, as it changes.
    FleetLive = Get "/live", Access::SignedIn;
    /// A client and its machines.
    Client = Get "/clients/{client}", LOOK;
    /// A new client.
    AddClient = Post "/clients", CONFIGURE;
    /// Holding back messages about a client.
    SilenceClient = Post "/clients/{client}/silence", CONFIGURE;
    /// How a client's recovery sheet is printed, and what it opens.
    Sheet = Get "/clients/{client}/sheet", KEYS;
    /// Showing that somebody has it.
    ConfirmSheet = Post "/clients/{client}/sheet", KEYS;
    /// A machine.
    Machine = Get "/machines/{machine}", LOOK;
    /// What a machine does now, as it changes.
    MachineLive = Get "/machines/{machine}/live", LOOK;
    /// No run starts for a while.
    PauseMachine = Post "/machines/{machine}/pause", CONFIGURE;
    /// Its name, class, site, policy and limits.
    MachineSettings = Get "/machines/{machine}/settings", CONFIGURE;
    /// Changing them.
    SaveMachineSettings = Post "/machines/{machine}/settings", CONFIGURE;
    /// It is looked after no more; its backups stay.
    RetireMachine = Post "/machines/{machine}/retire", CONFIGURE;
    /// Runs start again.
    ResumeMachine = Post "/machines/{machine}/resume", CONFIGURE;

    /// A quarantined machine is believed again.
    ReleaseMachine = Post "/machines/{machine}/release", CONFIGURE;
    /// A backup is made now.
    BackUp = Post "/machines/{machine}/backup", BACK_UP;
    /// A job that is not over is called back.
    CancelJob = Post "/jobs/{job}/cancel", BACK_UP;
    /// A machine's snapshots.
    Snapshots = Get "/machines/{machine}/snapshots", RESTORE;
    /// A folder in one.
    Folder = Get "/machines/{machine}/snapshots/{snapshot}", RESTORE;
    /// The beginning of a file in one.
    Preview = Get "/machines/{machine}/snapshots/{snapshot}/preview", RESTORE;
    /// A file or folder in one, whole.
    Download = Get "/machines/{machine}/snapshots/{snapshot}/download", RESTORE;
    /// In which snapshots a name is.
    FindFile = Get "/machines/{machine}/find", RESTORE;
    /// Something is put back at the machine.
    Restore = Post "/machines/{machine}/restore", RESTORE;

    /// What needs somebody.
    Alerts = Get "/alerts", Access::SignedIn;
    /// One of them, as messages link to it.
    Alert = Get "/alerts/{alert}", LOOK;
    /// Somebody has it.
    AcknowledgeAlert = Post "/alerts/{alert}/acknowledge", CONFIGURE;
    /// Nobody has it any more.
    ReleaseAlert = Post "/alerts/{alert}/release", CONFIGURE;
    /// Holding back messages about what an alert is about.
    SilenceAlert = Post "/alerts/{alert}/silence", CONFIGURE;
    /// Messages are sent again.
    EndSilence = Post "/silences/{silence}/end", CONFIGURE;

    /// Members and grants.
    People = Get "/people", Access::SignedIn;
    /// A new member.
    AddPerson = Post "/people", INVITE;
    /// A new one-time link for a member.
    PersonLink = Post "/people/{person}/link", INVITE;
    /// A member's role is another one.
    ChangeRole = Post "/people/{person}/role", INVITE;
    /// Giving a grant.
    GiveGrant = Post "/grants", GRANT;
    /// Ending a grant before its time.
    EndGrant = Post "/grants/{grant}/end", GRANT;

    /// How machines come in.
    Enrol = Get "/enrol", CONFIGURE;
    /// A new code.
    MakeCode = Post "/enrol", CONFIGURE;
    /// A machine that is backed up by plain restic.
    MakePlain = Post "/enrol/plain", CONFIGURE;
    /// A code opens nothing any more.
    EndCode = Post "/enrol/{code}/end", CONFIGURE;

    /// What is done for machines, in words.
    Policies = Get "/policies", CONFIGURE;
    /// The form of a new policy.
    NewPolicy = Get "/policies/new", CONFIGURE;
    /// The form of a policy.
    Policy = Get "/policies/{policy}", CONFIGURE;
    /// What a policy would mean, or saving it.
    SavePolicy = Post "/policies", CONFIGURE;
    /// Another policy like this one.
    CopyPolicy = Post "/policies/{policy}/copy", CONFIGURE;
    /// Removing one that nobody has.
    RemovePolicy = Post "/policies/{policy}/remove", CONFIGURE;
    /// Where copies of backups go.
    Destinations = Get "/destinations", CONFIGURE;
    /// Adding or changing one.
    SaveDestination = Post "/destinations", CONFIGURE;

    /// What was done, in chains.
    Audit = Get "/audit", CONFIGURE;
    /// The chain of a firm as JSON lines, to be verified elsewhere.
    AuditExport = Get "/audit/export", CONFIGURE;

    /// One's own password, second factor, sessions and tokens.
    Settings = Get "/settings", Access::SignedIn;
    /// Changing one's password.
    ChangePassword = Post "/settings/password", Access::SignedIn;
    /// Beginning with a second factor.
    BeginFactor = Post "/settings/factor", Access::SignedIn;
    /// The first code of it.
    ConfirmFactor = Post "/settings/factor/confirm", Access::SignedIn;
    /// Going without it.
    RemoveFactor = Post "/settings/factor/remove", Access::SignedIn;
    /// Beginning with a passkey.
    BeginPasskey = Post "/settings/passkeys/begin", Access::SignedIn;
    /// Adding it.
    AddPasskey = Post "/settings/passkeys", Access::SignedIn;
    /// A passkey opens nothing any more.
    EndPasskey = Post "/settings/passkeys/{passkey}/end", Access::SignedIn;
    /// Ending one's session in another browser.
    EndSession = Post "/settings/sessions/{session}/end", Access::SignedIn;
    /// A new token for programs.
    MakeToken = Post "/settings/tokens", Access::SignedIn;
    /// A token opens nothing any more.
    EndToken = Post "/settings/tokens/{token}/end", Access::SignedIn;

    /// How one is told of alerts, and when not.
    OwnMessages = Get "/settings/messages", Access::SignedIn;
    /// Changing that.
    SaveOwnMessages = Post "/settings/messages", Access::SignedIn;
    /// Trying it.
    TestOwnMessages = Post "/settings/messages/test", Access::SignedIn;

    /// By what a firm sends messages, and whom it tells in which order.
    Messages = Get "/messages", INVITE;
    /// Changing whom it tells.
    SaveSteps = Post "/messages/steps", INVITE;
    /// Changing its mail server.
    SaveMail = Post "/messages/mail", INVITE;
    /// Changing its webhook.
    SaveWebhook = Post "/messages/webhook", INVITE;
    /// A new key for its webhook.
    WebhookKey = Post "/messages/key", INVITE;
    /// Changing its watchdog, and whether addresses inside its network may be called.
    SaveWatchdog = Post "/messages/watchdog", INVITE;
    /// Trying a way.
    TestMessages = Post "/messages/test", INVITE;

    /// What the JSON API is.
    OpenApi = Get "/api/v1/openapi.json", Access::Anyone;
    /// A machine joins by a code.
    ApiEnrol = Post "/api/v1/enrol", Access::Anyone;
    /// An agent or a keeper calls, and proves by itself who it is.
    ApiCall = Get "/api/v1/agent", Access::Anyone;
    /// All machines, the worst first, as JSON.
    ApiFleet = Get "/api/v1/fleet", Access::SignedIn;
    /// A machine, as JSON.
    ApiMachine = Get "/api/v1/machines/{machine}", LOOK;
    /// A machine's runs, as JSON.
    ApiRuns = Get "/api/v1/machines/{machine}/runs", LOOK;
    /// A backup is made now.
    ApiBackUp = Post "/api/v1/machines/{machine}/backup", BACK_UP;
    /// What was asked for at a machine, as JSON.
    ApiJobs = Get "/api/v1/machines/{machine}/jobs", LOOK;
    /// A job that is not over is called back.
    ApiCancelJob = Post "/api/v1/jobs/{job}/cancel", BACK_UP;
    /// A machine's snapshots, as JSON.
    ApiSnapshots = Get "/api/v1/machines/{machine}/snapshots", RESTORE;
    /// A folder in one, as JSON.
    ApiFolder = Get "/api/v1/machines/{machine}/snapshots/{snapshot}", RESTORE;
    /// A file or folder in one, whole.
    ApiDownload = Get "/api/v1/machines/{machine}/snapshots/{snapshot}/download", RESTORE;
    /// In which snapshots a name is, as JSON.
    ApiFindFile = Get "/api/v1/machines/{machine}/find", RESTORE;
    /// Something is put back at the machine.
    ApiRestore = Post "/api/v1/machines/{machine}/restore", RESTORE;
    /// What needs somebody, as JSON.
    ApiAlerts = Get "/api/v1/alerts", Access::SignedIn;
    /// Somebody has it.
    ApiAcknowledge = Post "/api/v1/alerts/{alert}/acknowledge", CONFIGURE;
    /// Nobody has it any more.
    ApiRelease = Post "/api/v1/alerts/{alert}/release", CONFIGURE;
    /// No run starts for a while.
    ApiPause = Post "/api/v1/machines/{machine}/pause", CONFIGURE;
    /// Runs start again.
    ApiResume = Post "/api/v1/machines/{machine}/resume", CONFIGURE;
    /// A quarantined machine is believed again.
    ApiReleaseMachine = Post "/api/v1/machines/{machine}/release", CONFIGURE;
    /// Its name, class, site, policy and limits, as JSON.
    ApiMachineSettings = Get "/api/v1/machines/{machine}/settings", CONFIGURE;
    /// Changing them.
    ApiSaveMachineSettings = Post "/api/v1/machines/{machine}/settings", CONFIGURE;
    /// It is looked after no more; its backups stay.
    ApiRetireMachine = Post "/api/v1/machines/{machine}/retire", CONFIGURE;
    /// What is silenced, as JSON.
    ApiSilences = Get "/api/v1/silences", Access::SignedIn;
    /// Holding back messages about a client.
    ApiSilenceClient = Post "/api/v1/clients/{client}/silence", CONFIGURE;
    /// Holding back messages about what an alert is about.
    ApiSilenceAlert = Post "/api/v1/alerts/{alert}/silence", CONFIGURE;
    /// Messages are sent again.
    ApiEndSilence = Post "/api/v1/silences/{silence}/end", CONFIGURE;
    /// Clients, as JSON.
    ApiClients = Get "/api/v1/clients", Access::SignedIn;
    /// A new client.
    ApiAddClient = Post "/api/v1/clients", CONFIGURE;
    /// A new code that lets machines in.
    ApiMakeCode = Post "/api/v1/codes", CONFIGURE;
    /// Codes that still let machines in, as JSON.
    ApiCodes = Get "/api/v1/codes", CONFIGURE;
    /// A code opens nothing any more.
    ApiEndCode = Post "/api/v1/codes/{code}/end", CONFIGURE;
    /// How it stands with a client's recovery sheet, as JSON.
    ApiSheet = Get "/api/v1/clients/{client}/sheet", KEYS;
    /// Showing that somebody has it.
    ApiConfirmSheet = Post "/api/v1/clients/{client}/sheet", KEYS;
    /// Members, as JSON.
    ApiPeople = Get "/api/v1/people", Access::SignedIn;
    /// A new member.
    ApiAddPerson = Post "/api/v1/people", INVITE;
    /// A new one-time link for a member.
    ApiPersonLink = Post "/api/v1/people/{person}/link", INVITE;
    /// A member's role is another one.
    ApiChangeRole = Post "/api/v1/people/{person}/role", INVITE;
    /// Grants, as JSON.
    ApiGrants = Get "/api/v1/grants", Access::SignedIn;
    /// Giving a grant.
    ApiGiveGrant = Post "/api/v1/grants", GRANT;
    /// Ending a grant before its time.
    ApiEndGrant = Post "/api/v1/grants/{grant}/end", GRANT;
    /// Policies, as JSON.
    ApiPolicies = Get "/api/v1/policies", CONFIGURE;
    /// What a policy would mean.
    ApiPreviewPolicy = Post "/api/v1/policies/preview", CONFIGURE;
    /// Saving a policy.
    ApiSavePolicy = Post "/api/v1/policies", CONFIGURE;
    /// Removing one that nobody has.
    ApiRemovePolicy = Post "/api/v1/policies/{policy}/remove", CONFIGURE;
    /// Where copies of backups go, as JSON.
    ApiDestinations = Get "/api/v1/destinations", CONFIGURE;
    /// Adding or changing one.
    ApiSaveDestination = Post "/api/v1/destinations", CONFIGURE;
    /// How firms send messages, as JSON.
    ApiMessages = Get "/api/v1/messages", INVITE;
    /// Changing a firm's mail server.
    ApiSaveMail = Post "/api/v1/messages/mail", INVITE;
    /// Changing its webhook.
    ApiSaveWebhook = Post "/api/v1/messages/webhook", INVITE;
    /// A new key for its webhook.
    ApiWebhookKey = Post "/api/v1/messages/key", INVITE;
    /// Changing whom it tells.
    ApiSaveSteps = Post "/api/v1/messages/steps", INVITE;
    /// Changing its watchdog, and whether addresses inside its network may be called.
    ApiSaveWatchdog = Post "/api/v1/messages/watchdog", INVITE;
    /// Trying a way.
    ApiTestMessages = Post "/api/v1/messages/test", INVITE;
    /// A firm's audit log, as JSON.
    ApiAudit = Get "/api/v1/audit", CONFIGURE;
    /// The chain of a firm as JSON lines, to be verified elsewhere.
    ApiAuditExport = Get "/api/v1/audit/export", CONFIGURE;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_routes_are_the_same() {
        let asked: BTreeSet<_> = Route::ALL.iter().map(|route| (route.path(), route.method() == Method::Get)).collect();
        assert_eq!(asked.len(), Route::ALL.len());
    }

    #[test]
    fn whatever_changes_something_of_a_tenant_needs_more_than_looking() {
        for route in Route::ALL.iter().filter(|route| route.method() == Method::Post) {
            let own =
                ["/sign", "/welcome", "/settings", "/api/v1/enrol"].iter().any(|own| route.path().starts_with(own));
            let is_act = matches!(route.access(), Access::May(act) if act != Act::LOOK);
            assert!(own || is_act, "{route:?}");
        }
    }
}
